// Signatures, ciphers and hashes: OpenSSL's assembly passes arguments as it likes.
const crypto = require('crypto');

const pairs = [
    crypto.generateKeyPairSync('rsa', { modulusLength: 1024 }), crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }),
    crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }), crypto.generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    crypto.generateKeyPairSync('ed25519'),
];
let verified = 0;
for (let round = 0; round < 10; round++) {
    for (const pair of pairs) {
        const hash = pair.privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256';
        const message = Buffer.from(`message ${round}`);
        if (crypto.verify(hash, message, pair.publicKey, crypto.sign(hash, message, pair.privateKey))) verified++;
    }
}
console.log('verified', verified);

const text = Buffer.alloc(100000, 7);
for (const [name, length] of [['aes-128-cbc', 16], ['aes-256-ctr', 32], ['aes-256-gcm', 32], ['chacha20-poly1305', 32]]) {
    const isBlock = name.endsWith('cbc') || name.endsWith('ctr');
    const cipher = crypto.createCipheriv(name, Buffer.alloc(length, 1), Buffer.alloc(isBlock ? 16 : 12, 2), { authTagLength: 16 });
    const result = Buffer.concat([cipher.update(text), cipher.final()]);
    for (const hash of ['md5', 'sha1', 'sha256', 'sha512', 'sha3-256', 'blake2b512']) {
        console.log(name, hash, crypto.createHash(hash).update(result).digest('hex'));
    }
}
const key = crypto.createECDH('secp256k1');
key.setPrivateKey(Buffer.alloc(32, 5));
console.log(key.getPublicKey('hex'), crypto.pbkdf2Sync('word', 'salt', 1000, 32, 'sha512').toString('hex'));
