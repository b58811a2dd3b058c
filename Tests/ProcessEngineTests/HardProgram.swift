import Foundation
import TestSupport

/// A program compiled for a test, in a folder of its own.
final class HardProgram {
    private let owner: Folder
    var folder: String { owner.path }
    var path: String { folder + "/program" }

    private init(_ source: String, suffix: String, compiler: String, _ options: [String]) throws {
        owner = try Folder()
        // Some compilers leave files behind where they run.
        _ = try Compiler.compile(
            try owner.file("program." + suffix, source), with: [compiler], options, to: path, directory: folder)
    }

    static func c(_ source: String, _ options: [String]) throws -> HardProgram? {
        try HardProgram(source, suffix: "c", compiler: "clang", options)
    }

    /// Nil where there is no such compiler.
    static func cxx(_ source: String, compiler: String, _ options: [String]) throws -> HardProgram? {
        try program(source, suffix: "cpp", compiler: compiler, options)
    }

    /// In another language; nil where there is no such compiler.
    static func program(_ source: String, suffix: String, compiler: String, _ options: [String]) throws -> HardProgram? {
        guard try runBlocking(["env", compiler, "--version"]).status == 0 else { return nil }
        return try HardProgram(source, suffix: suffix, compiler: compiler, options)
    }

    /// Starts the program and waits until its libraries are there.
    func start() throws -> Running {
        let running = try Running([path])
        let maps = "/proc/\(running.pid)/maps"
        _ = eventually {
            (try? String(contentsOfFile: maps, encoding: .utf8)).map { $0.contains(path) && $0.contains("libc.so") } ?? false
        }
        return running
    }

    func traced(_ pattern: String) throws -> (output: String, status: Int32, trace: String) {
        let trace = folder + "/trace"
        let run = try HardProgram.fsession(["trace", "-q", "-o", trace, pattern, "--", path]).wait()
        return (run.output, run.status, (try? String(contentsOfFile: trace, encoding: .utf8)) ?? "")
    }

    static let fsessionPath = Repository.fsession

    static func fsession(_ arguments: [String]) throws -> Running { try Running([fsessionPath] + arguments) }

    // MARK: - Sources

    static let exceptions = """
        #include <cstdio>
        #include <stdexcept>
        #include <string>
        struct Guard { int *n; ~Guard() { ++*n; } };
        static int destroyed;
        extern "C" __attribute__((noinline)) int deep(int n) {
          Guard g{&destroyed}; if (n == 0) throw std::runtime_error("deep"); return deep(n - 1) + 1; }
        extern "C" __attribute__((noinline)) int middle(int n) {
          Guard g{&destroyed}; try { return deep(n) + 1; } catch (std::runtime_error &e) { throw; } }
        extern "C" __attribute__((noinline)) int outer(int n) {
          Guard g{&destroyed}; try { return middle(n); }
          catch (std::runtime_error &e) { throw std::logic_error(std::string(e.what()) + "!"); } }
        int main() {
          int caught = 0;
          for (int i = 0; i < 200; i++) { try { outer(i % 10); } catch (std::logic_error &e) { caught++; } }
          printf("caught %d destroyed %d\\n", caught, destroyed);
          return 7; }
        """

    static let jumps = """
        #define _GNU_SOURCE
        #include <setjmp.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <pthread.h>
        #include <unistd.h>
        #include <spawn.h>
        #include <sys/wait.h>
        extern char **environ;
        static jmp_buf env; static int cleaned;
        __attribute__((noinline)) int leaf(int n) { if (n == 0) longjmp(env, 5); return leaf(n - 1) + 1; }
        __attribute__((noinline)) void cleanup(void *p) { __sync_fetch_and_add(&cleaned, 1); }
        __attribute__((noinline)) int waits(int n) {
          pthread_cleanup_push(cleanup, 0); for (;;) usleep(1000000); pthread_cleanup_pop(0); return n; }
        __attribute__((noinline)) int leaves(int n) {
          pthread_cleanup_push(cleanup, 0); if (n == 0) pthread_exit((void *)9); leaves(n - 1);
          pthread_cleanup_pop(0); return n; }
        void *canceled(void *p) { waits(3); return 0; }
        void *exits(void *p) { leaves(3); return 0; }
        int main() {
          int sum = 0, s; pid_t p; char *a[] = {"sh", "-c", "exit 4", 0};
          for (volatile int i = 0; i < 55; i++) { if (setjmp(env) == 0) leaf(i % 7); else sum++; }
          for (int i = 0; i < 5; i++) { pthread_t t; void *r;
            pthread_create(&t, 0, canceled, 0); usleep(20000); pthread_cancel(t); pthread_join(t, &r);
            if (r == PTHREAD_CANCELED) sum++;
            pthread_create(&t, 0, exits, 0); pthread_join(t, &r); if (r == (void *)9) sum++; }
          s = system("exit 3"); if (WEXITSTATUS(s) == 3) sum++;
          posix_spawn(&p, "/bin/sh", 0, 0, a, environ); waitpid(p, &s, 0); if (WEXITSTATUS(s) == 4) sum++;
          p = vfork(); if (p == 0) { execl("/bin/sh", "sh", "-c", "exit 6", (char *)0); _exit(1); }
          waitpid(p, &s, 0); if (WEXITSTATUS(s) == 6) sum++;
          p = fork(); if (p == 0) { if (setjmp(env) == 0) leaf(3); exit(8); }
          waitpid(p, &s, 0); if (WEXITSTATUS(s) == 8) sum++;
          printf("sum %d cleaned %d\\n", sum, cleaned); return 42; }
        """

    /// `front` begins with a branch to the second instruction of `back`, as mempcpy does with memcpy.
    /// Spawns three children, which share its memory until they execute, and prints its process id.
    static let spawns = #"""
        #include <spawn.h>
        #include <stdio.h>
        #include <sys/wait.h>
        #include <unistd.h>
        extern char **environ;
        __attribute__((noinline)) int after(int x) { __asm__ volatile(""); return x + 1; }
        int main(void) {
            char *arguments[] = { "/bin/true", NULL };
            int sum = 0;
            for (int i = 0; i < 3; i++) {
                pid_t child;
                if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) == 0) waitpid(child, NULL, 0);
                sum += after(i);
            }
            printf("%d\n", getpid());
            return sum == 6 ? 0 : 1;
        }
        """#

    static let entered = """
        #include <unistd.h>
        #include <stdlib.h>
        __asm__(".text\\n.globl front\\n.type front,@function\\nfront:\\n  mov %rdi,%rax\\n  jmp 1f\\n  nop\\n  nop\\n  nop\\n.size front,.-front\\n"
                ".globl back\\n.type back,@function\\nback:\\n  xor %eax,%eax\\n1:add $3,%rax\\n  add $4,%rax\\n  ret\\n.size back,.-back\\n");
        long front(long), back(void);
        int main() { for (;;) { if (front(5) != 12 || back() != 7) abort(); usleep(1000); } }
        """
}
