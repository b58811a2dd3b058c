// A server under load, a loop for the JIT, worker threads, exceptions, buffers.
const { createServer, get } = require('http');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { createHash } = require('crypto');
const zlib = require('zlib');
function hot(n) { let s = 0; for (let i = 0; i < n; i++) { s = (s * 31 + i) % 1000003; if (i % 7 === 0) s ^= i; } return s; }
if (!isMainThread) {
  parentPort.postMessage(hot(workerData));
} else {
  const worker = n => new Promise((done, failed) => {
    const w = new Worker(__filename, { workerData: n }); w.on('message', done); w.on('error', failed);
  });
  const ask = (port, i) => new Promise((done, failed) => {
    get({ port, path: '/' + i, agent: false }, answer => {
      let text = ''; answer.on('data', d => text += d); answer.on('end', () => done(text));
    }).on('error', failed);
  });
  const server = createServer((request, response) => {
    const data = zlib.gunzipSync(zlib.gzipSync(Buffer.from(request.url.repeat(200))));
    response.end(createHash('sha256').update(data).digest('hex'));
  });
  server.listen(0, '127.0.0.1', async () => {
    const port = server.address().port;
    let all = '';
    for (let i = 0; i < 150; i++) all += await ask(port, i);
    const many = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(port, i)));
    const sums = await Promise.all([1e5, 2e5, 3e5].map(worker));
    let caught = 0;
    for (let i = 0; i < 200; i++) { try { null.x } catch { caught++; } try { JSON.parse('{'); } catch { caught++; } }
    console.log(createHash('sha256').update(all + many.join('')).digest('hex'), hot(3e6), sums.join(' '), caught);
    console.log([5, 3, 9].sort().join(), 'äöü'.normalize('NFD').length, /(?<y>\d{4})/u.exec('in 1984').groups.y, 2n ** 200n);
    server.close();
    process.exitCode = 11;
  });
}
