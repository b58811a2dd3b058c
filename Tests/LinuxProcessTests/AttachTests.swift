import CLinux
import Foundation
import Glibc
import LinuxProcess
import TestSupport
import Testing

@Suite("Attaching to a process") struct AttachTests {
    @Test("stops every thread, and lets every thread go")
    func python() throws {
        let child = try Child(
            "python3",
            [
                "-uc",
                """
                import threading, time
                for _ in range(5): threading.Thread(target=lambda: [time.sleep(0.001) for _ in iter(int, 1)], daemon=True).start()
                print('ready')
                print(input())
                """,
            ])
        #expect(try child.readLine() == "ready")
        let process = try StoppedProcess.attach(child.pid)
        #expect(process.threads.count == 6)
        #expect(process.threads[0].id == child.pid)
        for thread in process.threads {
            #expect(try ProcessStatus(thread: thread.id, of: child.pid).state == .traced)
        }
        process.resume()
        #expect(try Support.isUntraced(child.pid))
        child.write("still there\n")
        #expect(try child.readLine() == "still there")
        #expect(child.waitForEnd() == 0)
    }

    /// Eight threads that start and stop all the time and send each other signals; counts what arrives.
    static let storm = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <pthread.h>
        #include <signal.h>
        #include <stdatomic.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <time.h>
        #include <unistd.h>
        static atomic_long sent, got, rounds, wrong;
        static atomic_int stop;
        static void handler(int s) { (void)s; got++; }
        static void *brief(void *x) {
            struct timespec t = {0, 20000};
            while (nanosleep(&t, &t) < 0) if (errno != EINTR) wrong++;
            sigset_t pending; sigpending(&pending);
            return x;
        }
        static void *busy(void *x) {
            while (!stop) {
                pthread_t t;
                if (pthread_create(&t, 0, brief, x)) { wrong++; break; }
                // A queued signal: every one counts.
                union sigval v = {0};
                if (pthread_sigqueue(t, SIGRTMIN, v) == 0) sent++;
                void *r;
                if (pthread_join(t, &r) || r != x) wrong++;
                rounds++;
            }
            return x;
        }
        int main(void) {
            struct sigaction a = {.sa_handler = handler};
            sigaction(SIGRTMIN, &a, 0);
            pthread_t t[8];
            for (long i = 0; i < 8; i++) pthread_create(&t[i], 0, busy, (void *)i);
            puts("ready"); fflush(stdout);
            getchar();
            stop = 1;
            for (int i = 0; i < 8; i++) pthread_join(t[i], 0);
            printf("%ld %ld %ld %ld\\n", (long)rounds, (long)sent, (long)got, (long)wrong);
            return 0;
        }
        """

    @Test("200 times into a process whose threads come and go and take signals, which loses nothing")
    func storm() throws {
        let program = try Support.compile(Self.storm, name: "storm", arguments: ["-pthread"])
        let child = try Child(program)
        #expect(try child.readLine() == "ready")
        for round in 0..<200 {
            var process = try StoppedProcess.attach(child.pid)
            #expect(process.threads.count >= 9)
            // Nobody runs: the listing stays as it is.
            #expect(Set(try ThreadInfo.ids(of: child.pid)).isSuperset(of: process.threads.map(\.id)))
            if round % 2 == 0 { #expect(try process.systemCall(Number.getpid) == Int64(child.pid)) }
            process.resume()
        }
        #expect(try Support.isUntraced(child.pid))
        child.write("x\n")
        let numbers = try child.readLine().split(separator: " ").compactMap { Int($0) }
        try #require(numbers.count == 4)
        #expect(numbers[0] > 200)
        // A signal may come after its thread's last instruction, never more than that.
        #expect(numbers[1] >= numbers[2])
        #expect(numbers[2] > 0)
        #expect(numbers[3] == 0)
        #expect(child.waitForEnd() == 0)
    }

    @Test("signals sent while the process is stopped arrive afterwards")
    func signalsWhileStopped() throws {
        let child = try Child(
            "python3",
            [
                "-uc",
                """
                import signal, sys, time
                signal.signal(signal.SIGUSR1, lambda *_: (print('caught'), sys.exit(3)))
                print('ready')
                time.sleep(30)
                """,
            ])
        #expect(try child.readLine() == "ready")
        var process = try StoppedProcess.attach(child.pid)
        kill(child.pid, SIGUSR1)
        // The signal is pending during the call and must not get lost by it.
        #expect(try process.systemCall(Number.getpid) == Int64(child.pid))
        process.resume()
        #expect(try child.readLine() == "caught")
        #expect(child.waitForEnd() == 3)
    }

    @Test("a process stopped by SIGSTOP stays stopped, before and after a system call")
    func groupStop() throws {
        let child = try Child("sleep", ["1000"])
        #expect(eventually { (try? ProcessStatus(child.pid).name) == "sleep" })
        kill(child.pid, SIGSTOP)
        #expect(eventually { (try? ProcessStatus(child.pid).state) == .stopped })
        for _ in 0..<5 {
            var process = try StoppedProcess.attach(child.pid)
            #expect(try process.systemCall(Number.getpid) == Int64(child.pid))
            process.resume()
            #expect(eventually { (try? ProcessStatus(child.pid).state) == .stopped })
        }
        kill(child.pid, SIGCONT)
        #expect(eventually { (try? ProcessStatus(child.pid).state) == .sleeping })
    }

    @Test("a process killed while it is stopped is told as ended, not waited for")
    func killedWhileStopped() throws {
        let child = try Child("sleep", ["1000"])
        #expect(eventually { (try? ProcessStatus(child.pid).name) == "sleep" })
        var process = try StoppedProcess.attach(child.pid)
        kill(child.pid, SIGKILL)
        // A zombie, or taken by Foundation already.
        #expect(eventually { [.zombie, nil].contains(try? ProcessStatus(child.pid).state) })
        #expect(throws: ProcessError.self) { _ = try process.systemCall(Number.getpid) }
        process.resume()
        #expect(child.waitForEnd() == 128 + SIGKILL)
    }

    @Test("what cannot be attached to says why")
    func refusals() throws {
        #expect(throws: ProcessError.ownProcess) { _ = try StoppedProcess.attach(getpid()) }
        #expect(throws: ProcessError.noSuchProcess(pid: 4_194_303)) { _ = try StoppedProcess.attach(4_194_303) }
        #expect(throws: ProcessError.noSuchProcess(pid: -1)) { _ = try StoppedProcess.attach(-1) }
        #expect(throws: ProcessError.noSuchProcess(pid: 0)) { _ = try StoppedProcess.attach(0) }
        if (try? ProcessStatus(2))?.isKernelThread == true {
            let error = #expect(throws: ProcessError.self) { _ = try StoppedProcess.attach(2) }
            #expect(error?.description.contains("kernel thread") == true)
        }
        let thread = try #require(try ThreadInfo.ids(of: getpid()).first { $0 != getpid() })
        #expect(throws: ProcessError.notAProcess(thread: thread, process: getpid())) {
            _ = try StoppedProcess.attach(thread)
        }
        let stopped = try StoppedProcess.launch(Command("true"))
        let pid = stopped.pid
        let error = #expect(throws: ProcessError.self) { _ = try StoppedProcess.attach(pid) }
        #expect(error?.description.contains("traced by") == true)
        stopped.resume()
        // Not reaped yet: a zombie.
        #expect(eventually { (try? ProcessStatus(pid).state) == .zombie })
        let zombie = #expect(throws: ProcessError.self) { _ = try StoppedProcess.attach(pid) }
        #expect(zombie?.description.contains("ended already") == true)
        #expect(try ProcessExit.wait(for: pid) == .exited(0))
    }

    @Test("a 32-bit program is refused", .enabled(if: has32Bit))
    func thirtyTwoBit() throws {
        let program = try Support.compile(Self.bare32, name: "small", arguments: Self.flags32)
        let child = try Child(program)
        #expect(eventually { (try? ProcessStatus(child.pid).name) == "small" })
        let error = #expect(throws: ProcessError.self) { _ = try StoppedProcess.attach(child.pid) }
        #expect(error?.description.contains("32-bit") == true)
        #expect(throws: ProcessError.self) { _ = try StoppedProcess.launch(Command(program)) }
    }

    static let bare32 = "void _start(void) { for (;;) __asm__ volatile(\"mov $29,%eax; int $0x80\"); }"
    static let flags32 = ["-m32", "-nostdlib", "-static", "-fuse-ld=lld"]
    static let has32Bit: Bool = {
        guard let program = try? Support.compile(bare32, name: "probe", arguments: flags32),
            let child = try? Child(program)
        else { return false }
        return eventually { (try? ProcessStatus(child.pid).name) == "probe" }
    }()

    @Test("without the right to trace, the error says what to do", .enabled(if: geteuid() == 0))
    func permission() throws {
        // A process that may not be traced, seen from another user: through a child that gives up its rights.
        let child = try Child("sleep", ["1000"])
        #expect(eventually { (try? ProcessStatus(child.pid).name) == "sleep" })
        let target = child.pid
        let caught = try asUser(65534) { () -> String in
            do {
                _ = try StoppedProcess.attach(target)
                return "attached"
            } catch { return "\(error)" }
        }
        #expect(caught.contains("belongs to user 0 and you are user 65534"), "\(caught)")
        #expect(try Support.isUntraced(target))
    }

    /// Runs on a thread whose credentials are another user's: the system call changes one thread only.
    private func asUser(_ user: UInt, _ body: @escaping @Sendable () -> String) throws -> String {
        final class Box: @unchecked Sendable { var text = "" }
        let box = Box()
        let thread = Thread {
            // setresuid of this thread alone.
            _ = clinux_syscall(Number.setresuid, user, user, user, 0, 0, 0)
            box.text = body()
        }
        thread.start()
        while !thread.isFinished { usleep(1000) }
        return box.text
    }
}
