import Testing
import Trampoline

#if arch(x86_64)
@Suite struct FunctionPolicies {
    @Test(
        "functions that cannot return through a trampoline take entry programs only",
        arguments: [
            "setjmp", "_setjmp", "__sigsetjmp", "vfork", "getcontext", "swapcontext", "exit", "_exit", "abort",
            "longjmp", "siglongjmp", "__cxa_throw", "_Unwind_Resume", "pthread_exit", "__stack_chk_fail", "dlsym",
            "dlopen", "dlvsym", "dlmopen", "clone", "dlsym@@GLIBC_2.34", "_ZSt20__throw_length_errorPKc",
            "_ZSt24__throw_out_of_range_fmtPKcz",
            // func foo(_: Int) async throws -> Int, a typed throw, a closure, and parts behind a suspension.
            "$s1a3fooyS2iYaKF", "$s1a5typedyyYaAA1EVYKF", "$s1a3runyyFyyYacfU_", "$s1a1AC4inc2SiyYaFTY0_",
            "$s1a3runyyFyyYacfU_TATQ0_", "$sxIeAgHr_xs5Error_pIegHrzo_s8SendableRzs5NeverORs_r0_lTRyt_Tg5TA",
        ])
    func entryOnly(name: String) {
        guard case .entryOnly(let reason) = FunctionPolicy.of(name: name) else {
            Issue.record("\(name): \(FunctionPolicy.of(name: name))")
            return
        }
        #expect(!reason.isEmpty)
    }

    @Test(
        "functions without a caller, or with a convention of their own, take no programs",
        arguments: [
            "_start", "__restore_rt", "__start_context", "__tls_get_addr", "_dl_runtime_resolve_xsavec",
            "_dl_tlsdesc_dynamic_xsavec", "__fentry__", "__x86_indirect_thunk_rax", "Builtins_ArrayPush",
            "camlStdlib__List__map_482", "caml_call_gc", "caml_apply3", "caml_curry3_2_app", "caml_c_call", "base_GHCziBase_map_info",
            "stg_upd_frame_info",
        ])
    func never(name: String) {
        guard case .never = FunctionPolicy.of(name: name) else {
            Issue.record("\(name): \(FunctionPolicy.of(name: name))")
            return
        }
    }

    @Test(
        "everything else takes any program",
        arguments: [
            "", "main", "deflate", "exits", "set", "longjmp_counter", "fork", "printf", "_ZSt4sortIPiEvT_S1_",
            "$s1a3runyyF", "$s1a1AC3incSiyF", "$s1a6YaYatayyF", "$s1a7TY0_TQ0yyF", "$s1a1AC1nSivM.resume.0", "$s9", "$s99999999999",
        ])
    func any(name: String) {
        #expect(FunctionPolicy.of(name: name) == .any)
    }

    @Test("of a function with several names the strictest policy holds")
    func aliases() {
        #expect(FunctionPolicy.of(names: []) == .any)
        #expect(FunctionPolicy.of(names: ["main", "entry"]) == .any)
        #expect(FunctionPolicy.of(names: ["finish", "exit"]) == FunctionPolicy.of(name: "exit"))
        #expect(FunctionPolicy.of(names: ["exit", "_start", "main"]) == FunctionPolicy.of(name: "_start"))
    }
}
#endif
