import CLinux
import Foundation
import Glibc
import LinuxProcess
import TestSupport
import Testing

@Suite("System calls made in a process") struct SystemCallTests {
    /// Threads in nanosleep, read, futex, poll, epoll_wait, semop, recv with a timeout, and one that computes; prints what each call returned.
    static let blocked = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <linux/futex.h>
        #include <poll.h>
        #include <pthread.h>
        #include <signal.h>
        #include <stdint.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/epoll.h>
        #include <sys/sem.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        static int word, pipes[2], polled[2], semaphores, sockets[2];
        static volatile int stop;
        static long results[9]; static int errors[9];
        static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
        static void *sleeper(void *x) { struct timespec t = {1, 500000000}; double s = now(); results[0] = nanosleep(&t, 0); errors[0] = errno;
            double d = now() - s; if (d < 1.5 || d > 4) results[0] = 99; return x; }
        static void *reader(void *x) { char c = 0; results[1] = read(pipes[0], &c, 1) == 1 && c == 'r' ? 0 : -1; errors[1] = errno; return x; }
        static void *waiter(void *x) { results[2] = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0); errors[2] = errno; return x; }
        static void *poller(void *x) { struct pollfd p = {polled[0], POLLIN, 0}; results[3] = poll(&p, 1, 60000) - 1; errors[3] = errno; return x; }
        static void *timed(void *x) { struct timespec t = {60, 0}; results[4] = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, 0, 0); errors[4] = errno; return x; }
        static void *computer(void *x) { uint64_t a = 1, n = 0; while (!stop) { uint64_t b = 1; for (int i = 0; i < 1000; i++) b = b * 6364136223846793005u + 1442695040888963407u; if (a == 1) a = b; else if (a != b) n++; } results[5] = (long)n; return x; }
        static void *epoller(void *x) { struct epoll_event e = {EPOLLIN, {0}}; int p = epoll_create1(0); epoll_ctl(p, EPOLL_CTL_ADD, polled[0], &e); results[6] = epoll_wait(p, &e, 1, 60000) - 1; errors[6] = errno; return x; }
        static void *semaphore(void *x) { struct sembuf b = {0, -1, 0}; results[7] = semop(semaphores, &b, 1); errors[7] = errno; return x; }
        static void *receiver(void *x) { char c; struct timeval t = {60, 0}; setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t); results[8] = recv(sockets[0], &c, 1, 0) - 1; errors[8] = errno; return x; }
        // EAGAIN: the word had changed before the thread was back in its wait, as without a tracer.
        static void forgive(int i) { if (results[i] == -1 && errors[i] == EAGAIN) results[i] = 0; }
        int main(void) {
            pipe(pipes); pipe(polled); semaphores = semget(IPC_PRIVATE, 1, 0600); socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
            void *(*all[])(void *) = {sleeper, reader, waiter, poller, timed, computer, epoller, semaphore, receiver};
            pthread_t t[9];
            for (int i = 0; i < 9; i++) pthread_create(&t[i], 0, all[i], 0);
            usleep(300000);
            puts("ready"); fflush(stdout);
            char line[16]; ssize_t n = read(0, line, sizeof line);
            stop = 1; write(pipes[1], "r", 1); write(polled[1], "p", 1); write(sockets[1], "s", 1);
            struct sembuf up = {0, 1, 0}; semop(semaphores, &up, 1);
            word = 1; syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 100, 0, 0, 0);
            for (int i = 0; i < 9; i++) pthread_join(t[i], 0);
            semctl(semaphores, 0, IPC_RMID);
            forgive(2); forgive(4);
            printf("main %zd", n);
            for (int i = 0; i < 9; i++) printf(" %ld", results[i]);
            puts("");
            return 0;
        }
        """

    @Test("threads blocked in nanosleep, read, futex, poll, epoll_wait, semop and recv go on as if nothing had happened")
    func blockedThreads() throws {
        let program = try Support.compile(Self.blocked, name: "blocked", arguments: ["-pthread"])
        let child = try Child(program)
        #expect(try child.readLine() == "ready")
        for _ in 0..<40 {
            var process = try StoppedProcess.attach(child.pid)
            #expect(process.threads.count == 10)
            for _ in 0..<3 { #expect(try process.systemCall(Number.getpid) == Int64(child.pid)) }
            process.resume()
        }
        child.write("go\n")
        #expect(try child.readLine() == "main 3 0 0 0 0 0 0 0 0 0")
        #expect(child.waitForEnd() == 0)
    }

    @Test("every thread can be the one that makes the call", arguments: ["nanosleep", "read", "futex", "restarted"])
    func eachKind(kind: String) throws {
        // One thread only: it must be the one.
        let bodies = [
            "nanosleep": "struct timespec t = {0, 700000000}; double s = now(); r = nanosleep(&t, 0); if (now() - s < 0.7) r = 5;",
            "read": "char c; r = read(0, &c, 1) - 1;",
            "futex":
                "int w = 0; struct timespec t = {0, 700000000}; r = syscall(SYS_futex, &w, FUTEX_WAIT_PRIVATE, 0, &t, 0, 0) == -1 && errno == ETIMEDOUT ? 0 : 7;",
            "restarted":
                "sigset_t s; sigemptyset(&s); alarm(1); signal(SIGALRM, h); r = sigsuspend(&s) == -1 && errno == EINTR && hits == 1 ? 0 : 8;",
        ]
        let program = try Support.compile(
            """
            #define _GNU_SOURCE
            #include <errno.h>
            #include <linux/futex.h>
            #include <signal.h>
            #include <stdio.h>
            #include <sys/syscall.h>
            #include <time.h>
            #include <unistd.h>
            static volatile int hits;
            static void h(int s) { (void)s; hits++; }
            static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
            int main(void) { (void)h; (void)now; int r; puts("ready"); fflush(stdout); \(bodies[kind] ?? "") return r; }
            """, name: kind)
        let child = try Child(program)
        #expect(try child.readLine() == "ready")
        usleep(100_000)
        for _ in 0..<20 {
            var process = try StoppedProcess.attach(child.pid)
            let before = try process.threads[0].registers()
            #expect(before.isInterruptedSystemCall)
            #expect(try process.systemCall(Number.getpid) == Int64(child.pid))
            #expect(try process.systemCall(9999) == Int64(-ENOSYS))
            #expect(try process.threads[0].registers() == before)
            process.resume()
        }
        child.write("x")
        #expect(child.waitForEnd() == 0)
    }

    @Test("memory can be made, filled and found again")
    func memory() throws {
        let child = try Child("sleep", ["1000"])
        #expect(eventually { (try? ProcessStatus(child.pid).name) == "sleep" })
        var process = try StoppedProcess.attach(child.pid)
        let map = try MemoryMap(pid: child.pid)
        let code = try #require(map.regions.first { $0.permissions.contains(.execute) && $0.path.hasSuffix("sleep") })
        let wanted = try #require(map.gap(near: code.range, size: 65536, within: 1 << 31))
        #expect(map.regions.allSatisfy { !$0.range.overlaps(wanted..<wanted + 65536) })
        // PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED_NOREPLACE
        let got = try process.systemCall(Number.mmap, wanted, 65536, 5, 0x100022, .max, 0)
        #expect(UInt64(bitPattern: got) == wanted)
        // Not writable in the process, writable from here.
        try process.memory.write([1, 2, 3], at: wanted + 65533)
        #expect(try process.memory.read(at: wanted + 65532, count: 4) == [0, 1, 2, 3])
        try process.memory.store(UInt64(0x1122_3344_5566_7788), at: wanted + 8)
        #expect(try process.memory.load(UInt32.self, at: wanted + 8) == 0x5566_7788)
        #expect(throws: ProcessError.self) { _ = try process.memory.read(at: wanted + 65536 - 4, count: 1 << 40) }
        #expect(throws: ProcessError.memoryWrite(pid: child.pid, address: 8, count: 1, error: EFAULT)) {
            try process.memory.write([0], at: 8)
        }
        #expect(throws: ProcessError.self) { _ = try process.memory.read(at: .max - 3, count: 16) }
        #expect(try process.systemCall(Number.munmap, wanted, 65536) == 0)
        #expect(throws: ProcessError.memoryRead(pid: child.pid, address: wanted, count: 4, error: EFAULT)) {
            _ = try process.memory.read(at: wanted, count: 4)
        }
        process.resume()
        #expect(try ProcessStatus(child.pid).tracer == 0)
    }

    @Test("a memfd made in the process is found by all who map it")
    func memfd() throws {
        let descriptor = clinux_memfd_create("fsession-test")
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        ftruncate(descriptor, 4096)
        #expect(try ProcessList.findProcesses(mapping: descriptor) == [])
        let mapping = mmap(nil, 4096, PROT_READ, MAP_SHARED, descriptor, 0)
        #expect(try ProcessList.findProcesses(mapping: descriptor) == [getpid()])
        munmap(mapping, 4096)
        #expect(try ProcessList.findProcesses(mapping: descriptor) == [])
    }

    @Test("a process with a seccomp filter is refused by name")
    func seccomp() throws {
        let program = try Support.compile(
            """
            #include <linux/filter.h>
            #include <linux/seccomp.h>
            #include <stdio.h>
            #include <sys/prctl.h>
            #include <unistd.h>
            int main(void) {
                struct sock_filter f[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
                struct sock_fprog p = {1, f};
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p)) return 1;
                puts("ready"); fflush(stdout);
                getchar();
                return 0;
            }
            """, name: "sandboxed")
        let child = try Child(program)
        #expect(try child.readLine() == "ready")
        var process = try StoppedProcess.attach(child.pid)
        #expect(throws: ProcessError.seccomp(pid: child.pid, mode: 2)) { _ = try process.systemCall(Number.getpid) }
        process.resume()
        child.write("x\n")
        #expect(child.waitForEnd() == 0)
    }

    @Test("a thread that cannot stop is told, and goes on as soon as it can")
    func lateThread() async throws {
        actor Engine {
            let thread: TracerThread
            nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
            init() throws { thread = try TracerThread() }
            func attach(_ pid: pid_t) -> String {
                do {
                    _ = try StoppedProcess.attach(pid)
                    return "attached"
                } catch { return "\(error)" }
            }
        }
        // The parent of a vfork waits in the kernel, uninterruptibly, for its child.
        let program = try Support.compile(
            """
            #include <stdio.h>
            #include <unistd.h>
            int main(void) {
                puts("ready"); fflush(stdout);
                if (vfork() == 0) { sleep(5); _exit(0); }
                puts("over"); fflush(stdout);
                getchar();
                return 0;
            }
            """, name: "waits")
        let child = try Child(program)
        #expect(try child.readLine() == "ready")
        usleep(100_000)
        let engine = try Engine()
        let message = await engine.attach(child.pid)
        #expect(message.contains("does not stop (uninterruptible sleep"), "\(message)")
        #expect(try child.readLine() == "over")
        #expect(eventually { (try? Support.isUntraced(child.pid)) == true })
        // And then it can be stopped.
        #expect(await engine.attach(child.pid) == "attached")
        child.write("x\n")
        #expect(child.waitForEnd() == 0)
    }

    @Test("an actor on a tracer thread launches, calls and lets go over several awaits")
    func actorOnTracerThread() async throws {
        actor Engine {
            let thread: TracerThread
            nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }
            private var process: StoppedProcess?
            private var pid: pid_t = 0
            init() throws { thread = try TracerThread() }
            func launch() throws -> pid_t {
                let launched = try StoppedProcess.launch(Command("sh", arguments: ["-c", "exit 3"]))
                pid = launched.pid
                process = consume launched
                return clinux_thread_id()
            }
            func call() throws -> (Int64, pid_t, pid_t) {
                (try process?.systemCall(Number.getpid) ?? -1, pid, clinux_thread_id())
            }
            func letGo() -> pid_t {
                process = nil
                return clinux_thread_id()
            }
        }
        for _ in 0..<10 {
            let engine = try Engine()
            let first = try await engine.launch()
            await Task.yield()
            let (result, pid, second) = try await engine.call()
            let third = await engine.letGo()
            #expect(result == Int64(pid))
            #expect(first == second && second == third && first != getpid())
            #expect(try ProcessExit.wait(for: pid) == .exited(3))
        }
        // The threads end with their actors.
        #expect(
            eventually {
                ((try? ThreadInfo.ids(of: getpid())) ?? []).count < 64
            })
    }
}
