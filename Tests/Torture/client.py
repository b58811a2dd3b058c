# Starts the server and puts load on it from eight threads: client.py COMMAND…
import os, socket, subprocess, sys, threading
traced = [os.environ["TRACED"]] if os.environ.get("TRACED") else []
server = subprocess.Popen(traced + sys.argv[1:] + ["200"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
port = int(server.stdout.readline())
def ask(i):
    text = ["sum 1 2 %d" % i, "sort c a b%d" % i, "reverse abc%d" % i, "sum x%d" % i, "what"][i % 5]
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(text.encode() + b"\n")
        data = b""
        while part := s.recv(4096):
            data += part
        return data.decode()
answers = [None] * 200
def work(k):
    for i in range(k, 200, 8):
        answers[i] = ask(i)
threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print("".join(answers), end="")
print(server.stdout.read(), server.wait())
