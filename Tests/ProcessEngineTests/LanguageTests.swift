import Foundation
import Testing

/// What languages other than C++ throw passes traced functions, and whatever they clean up on the way is cleaned up.
@Suite("Exceptions of other languages", .serialized)
struct LanguageTests {
    struct Language: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var suffix: String
        var compiler: String
        var options: [String] = []
        var source: String
        var output: String
    }

    @Test("Panics, exceptions and canceled threads pass traced functions", arguments: languages)
    func exceptions(language: Language) throws {
        let program = try #require(
            try HardProgram.program(language.source, suffix: language.suffix, compiler: language.compiler, language.options),
            "\(language.compiler) is not installed")
        for pattern in ["exe:*deep*", "exe:*", "*"] {
            let result = try program.traced(pattern)
            #expect(result.output == language.output, "\(pattern)")
            #expect(result.status == 7, "\(pattern)")
        }
        // One call, so that none is dropped however busy the machine is.
        let main = try program.traced("exe:main").trace
        #expect(main.contains("main("), "\(main)")
    }

    /// Thrown 9 functions deep, and caught, 200 times; each of the functions cleans up after itself.
    private static let languages = [
        Language(
            testDescription: "Rust", suffix: "rs", compiler: "rustc", options: ["-O", "-Cdebuginfo=0"],
            source: """
                use std::panic;
                use std::sync::atomic::{AtomicUsize, Ordering};
                static DROPPED: AtomicUsize = AtomicUsize::new(0);
                struct Guard;
                impl Drop for Guard { fn drop(&mut self) { DROPPED.fetch_add(1, Ordering::Relaxed); } }
                #[inline(never)] #[no_mangle]
                pub fn deep(n: u32) -> u32 { let _guard = Guard; if n == 0 { panic!("bottom") } deep(n - 1) + 1 }
                fn main() -> std::process::ExitCode {
                    panic::set_hook(Box::new(|_| {}));
                    let caught = (0..200).filter(|_| panic::catch_unwind(|| deep(9)).is_err()).count();
                    println!("caught {} cleaned {}", caught, DROPPED.load(Ordering::Relaxed));
                    std::process::ExitCode::from(7)
                }
                """, output: "caught 200 cleaned 2000\n"),
        Language(
            testDescription: "Ada", suffix: "adb", compiler: "gnatmake", options: ["-O1"],
            source: """
                with Ada.Text_IO; with Ada.Command_Line; with Ada.Finalization;
                procedure Program is
                   Cleaned, Caught : Natural := 0;
                   Bottom : exception;
                   type Guard is new Ada.Finalization.Limited_Controlled with null record;
                   overriding procedure Finalize (G : in out Guard) is begin Cleaned := Cleaned + 1; end Finalize;
                   function deep (N : Integer) return Integer;
                   pragma No_Inline (deep);
                   function deep (N : Integer) return Integer is
                      G : Guard;
                   begin
                      if N = 0 then raise Bottom; end if;
                      return deep (N - 1) + 1;
                   end deep;
                   Sum : Integer := 0;
                begin
                   for I in 1 .. 200 loop
                      begin Sum := Sum + Deep (9); exception when Bottom => Caught := Caught + 1; end;
                   end loop;
                   Ada.Text_IO.Put_Line ("caught" & Caught'Image & " cleaned" & Cleaned'Image);
                   Ada.Command_Line.Set_Exit_Status (7);
                end Program;
                """, output: "caught 200 cleaned 2000\n"),
        Language(
            testDescription: "D", suffix: "d", compiler: "gdc", options: ["-O1"],
            source: """
                import core.stdc.stdio;
                __gshared int cleaned;
                struct Guard { ~this() { cleaned++; } }
                pragma(inline, false) extern (C) int deep(int n) { Guard g; if (n == 0) throw new Exception("bottom"); return deep(n - 1) + 1; }
                int main() {
                    int caught;
                    foreach (i; 0 .. 200) { try deep(9); catch (Exception) caught++; }
                    printf("caught %d cleaned %d\\n", caught, cleaned);
                    return 7;
                }
                """, output: "caught 200 cleaned 2000\n"),
        Language(
            testDescription: "canceled threads", suffix: "cpp", compiler: "g++", options: ["-O1", "-pthread"],
            source: """
                #include <atomic>
                #include <pthread.h>
                #include <stdio.h>
                #include <unistd.h>
                static std::atomic<int> cleaned, waiting;
                struct Guard { ~Guard() { cleaned++; } };
                extern "C" __attribute__((noinline)) int deep(int n) {
                    Guard g;
                    if (n == 0) { waiting++; for (;;) pause(); }
                    return deep(n - 1) + 1;
                }
                static void *run(void *) { return (void *)(long)deep(9); }
                int main() {
                    int caught = 0;
                    for (int i = 0; i < 200; i++) {
                        pthread_t thread;
                        void *result;
                        pthread_create(&thread, 0, run, 0);
                        while (waiting <= i) usleep(10);
                        pthread_cancel(thread);
                        pthread_join(thread, &result);
                        caught += result == PTHREAD_CANCELED;
                    }
                    printf("caught %d cleaned %d\\n", caught, (int)cleaned);
                    return 7;
                }
                """, output: "caught 200 cleaned 2000\n"),
    ]
}
