import collections, hashlib, json, re, sqlite3, sys, threading, zlib
words = [f"w{i * i % 997}" for i in range(20000)]
counts = collections.Counter(words)
print(counts.most_common(2), len(re.findall(r"w(\d)\1", " ".join(words))))
text = json.dumps({"words": words, "n": [1.5, None, True]}).encode()
print(hashlib.sha256(zlib.decompress(zlib.compress(text))).hexdigest(), zlib.crc32(text))
db = sqlite3.connect(":memory:")
db.execute("create table t(w, n)")
db.executemany("insert into t values(?, ?)", counts.items())
print(db.execute("select count(*), sum(n), max(w) from t where w like 'w1%'").fetchone())
total = []
def work(k):
    try:
        for i in range(2000):
            if i == 1999: raise ValueError(k)
    except ValueError as error:
        total.append(int(str(error)))
threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(sum(total))
sys.exit(9)
