/// Which programs a function may have, by its name: some functions cannot be called by a trampoline.
package enum FunctionPolicy: Sendable, Hashable {
    /// Programs of every kind.
    case any
    /// `fentry` programs only, and why: the trampoline jumps on and leaves no trace on the stack.
    case entryOnly(reason: String)
    /// None at all, and why.
    case never(reason: String)

    /// The policy for a symbol's raw (mangled) name; a version behind `@` does not matter.
    package static func of(name symbol: String) -> FunctionPolicy {
        if let version = symbol.utf8.firstIndex(of: UInt8(ascii: "@")) { return of(plainName: String(symbol[..<version])) }
        return of(plainName: symbol)
    }

    private static func of(plainName: String) -> FunctionPolicy {
        if plainName.utf8.count <= longestName, let reason = byName[plainName] { return reason.policy }
        let name = plainName[...]
        // All that follows is about such names; most C names have been passed by now.
        guard let first = name.utf8.first, "_$B".utf8.contains(first) else { return managedReason(name)?.policy ?? .any }
        if let reason = byPrefix.first(where: { plainName.hasPrefix($0.prefix) })?.reason { return reason.policy }
        if let reason = standardLibraryReason(name) ?? swiftReason(name) { return reason.policy }
        return .any
    }

    /// Functions of languages whose runtimes know their code by its return addresses, and their stacks by its code.
    private static func managedReason(_ name: Substring) -> Reason? {
        let text = name.utf8
        if text.starts(with: "caml".utf8), let next = text.dropFirst(4).first {
            if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(next) { return .ocaml }
            // What its compiler makes for functions of so many arguments.
            let made = ["caml_apply", "caml_curry", "caml_tuplify", "caml_send"]
            if text.last.map({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) ?? false || name.hasSuffix("_app"),
                made.contains(where: { text.starts(with: $0.utf8) })
            {
                return .ocaml
            }
        }
        if text.last == UInt8(ascii: "o"), name.hasSuffix("_info"), name.hasPrefix("stg_") || name.contains("zi") { return .haskell }
        return nil
    }

    /// The strictest policy of a function that has several names.
    package static func of(names: some Sequence<String>) -> FunctionPolicy {
        names.reduce(.any) { $0.stricter(of(name: $1)) }
    }

    /// The one of two that allows less.
    package func stricter(_ other: FunctionPolicy) -> FunctionPolicy {
        switch (self, other) {
        case (.never, _), (.entryOnly, .any), (.entryOnly, .entryOnly), (.any, .any): self
        case (_, .never), (.any, .entryOnly): other
        }
    }

    /// The policy of a function that leaves by a jump to one of this policy: what that one sees of its caller, the first one's
    /// trampoline would have put there.
    package func ofJumper(to name: String) -> FunctionPolicy {
        let way = "leaves by a jump to \(name), which "
        // The last function of a row of jumps is the one that matters.
        func text(_ reason: String) -> String { reason.hasPrefix("leaves by a jump to ") ? reason : way + reason }
        switch self {
        case .any: return .any
        case .entryOnly(let reason): return .entryOnly(reason: text(reason))
        case .never(let reason): return .never(reason: text(reason))
        }
    }

    private static let noExit = "never returns, so there is no exit"

    /// Whether it says no more than that there is no exit. Who leaves to such a function on one way and returns on another
    /// has one.
    package var isForWantOfExit: Bool { if case .entryOnly(let reason) = self { reason.hasSuffix(Self.noExit) } else { false } }

    /// What compilers make jumps and returns of: whoever jumps there jumps on, or returns.
    package static func isThunk(name: String) -> Bool { thunks.contains { name.hasPrefix($0) } }

    private static let thunks = ["__x86_indirect_thunk_", "__x86_return_thunk", "__llvm_retpoline_", "__llvm_lvi_thunk_"]

    /// Why, when it is not `.any`.
    package var reason: String? {
        switch self {
        case .any: nil
        case .entryOnly(let reason), .never(let reason): reason
        }
    }

    // MARK: The data

    private enum Reason {
        case returnsTwice, switchesStack, neverReturns, looksAtCaller, unwinds, swiftAsync, makesThread
        case signalReturn, contextStart, processStart, privateConvention, ocaml, haskell

        var policy: FunctionPolicy {
            switch self {
            case .returnsTwice:
                .entryOnly(reason: "returns twice, the second time after the trampoline's frame is gone")
            case .switchesStack:
                .entryOnly(reason: "saves or leaves its caller's stack, which would be the trampoline's")
            case .neverReturns:
                .entryOnly(reason: FunctionPolicy.noExit)
            case .looksAtCaller:
                .entryOnly(reason: "looks at its caller's address, which would be the trampoline's")
            case .unwinds:
                .entryOnly(reason: "unwinds from its caller's frame, which would be the trampoline's")
            case .swiftAsync:
                .entryOnly(
                    reason: "has Swift async in its type; async code leaves by a jump and pops its own arguments")
            case .makesThread:
                .entryOnly(reason: "the new thread or process returns from it on another stack")
            case .signalReturn:
                .never(reason: "returns from a signal handler: unwinders know it by its very bytes")
            case .contextStart:
                .never(reason: "is entered by a return: there is no caller, and its arguments are on the stack")
            case .processStart:
                .never(reason: "the process starts there: there is no caller, and its arguments are on the stack")
            case .ocaml:
                .never(reason: "is OCaml code: its collector looks up return addresses, and a trampoline's are not known to it")
            case .haskell:
                .never(reason: "is Haskell code: it is entered by jumps, and keeps its stack in a register of its own")
            case .privateConvention:
                .never(reason: "is called with a convention of its own")
            }
        }
    }

    private static let byName: [String: Reason] = {
        var all: [String: Reason] = [:]
        for (reason, names) in lists {
            for name in names.split(whereSeparator: { $0 == " " || $0 == "\n" }) { all[String(name)] = reason }
        }
        return all
    }()

    private static let longestName = byName.keys.map(\.utf8.count).max() ?? 0

    private static let lists: [(Reason, String)] = [
        (
            .returnsTwice,
            """
            setjmp _setjmp sigsetjmp __sigsetjmp __sigsetjmp_cancel savectx vfork __vfork __libc_vfork
            """
        ),
        (
            .switchesStack,
            """
            getcontext __getcontext setcontext __setcontext swapcontext __swapcontext
            """
        ),
        (
            .neverReturns,
            """
            exit _exit _Exit __GI_exit __GI__exit quick_exit abort __GI_abort
            longjmp _longjmp siglongjmp __longjmp ____longjmp_chk __longjmp_chk __libc_longjmp __libc_siglongjmp
            pthread_exit __pthread_exit __pthread_unwind __pthread_unwind_next thrd_exit svc_exit start_thread
            __stack_chk_fail __stack_chk_fail_local __chk_fail __fortify_fail __libc_fatal _dl_fatal_printf
            _dl_signal_error _dl_signal_exception __libc_alloc_buffer_create_failure __libc_dynarray_at_failure
            __assert_fail __assert __assert_perror_fail __libc_start_main __libc_start_call_main
            err errx verr verrx
            __cxa_throw __cxa_rethrow __cxa_bad_cast __cxa_bad_typeid __cxa_call_unexpected __cxa_call_terminate
            __cxa_throw_bad_array_length __cxa_throw_bad_array_new_length __cxa_pure_virtual __cxa_deleted_virtual
            _ZSt9terminatev _ZSt10unexpectedv _ZN10__cxxabiv111__terminateEPFvvE
            _ZN9__gnu_cxx27__verbose_terminate_handlerEv
            rust_panic rust_begin_unwind swift_unexpectedError swift_errorInMain swift_deletedMethodError
            """
        ),
        (
            .unwinds,
            """
            _Unwind_RaiseException _Unwind_Resume _Unwind_Resume_or_Rethrow _Unwind_ForcedUnwind _Unwind_Backtrace
            backtrace __backtrace uw_init_context_1
            unw_getcontext __unw_getcontext _Ux86_64_getcontext _Ux86_64_getcontext_trace
            """
        ),
        (
            .looksAtCaller,
            """
            dlsym dlvsym dlopen dlmopen __dlsym __dlvsym __dlopen __dlmopen
            __libc_dlsym __libc_dlvsym __libc_dlopen_mode _dl_open _dl_sym _dl_vsym
            """
        ),
        (.makesThread, "clone __clone __clone2 clone3 __clone3 __clone_internal __clone_internal_fallback"),
        (.signalReturn, "__restore_rt __restore rt_sigreturn __kernel_rt_sigreturn __vdso_rt_sigreturn"),
        (.contextStart, "__start_context"),
        (.processStart, "_start _dl_start _dl_start_user _rt0_amd64_linux"),
        (
            .ocaml,
            """
            caml_call_gc caml_call_gc2 caml_c_call caml_c_call_stack_args caml_alloc1 caml_alloc2 caml_alloc3 caml_allocN
            caml_raise_exn caml_raise_exception caml_start_program caml_callback_asm caml_callback2_asm caml_callback3_asm
            caml_program caml_ml_array_bound_error caml_call_realloc_stack caml_perform caml_reperform caml_resume caml_runstack
            """
        ),
        (
            .privateConvention,
            """
            __tls_get_addr ___tls_get_addr __tls_get_addr_slow __fentry__ mcount _mcount __morestack
            __morestack_non_split __x86_return_thunk
            """
        ),
    ]

    private static let byPrefix: [(prefix: String, reason: Reason)] = [
        ("_dl_runtime_resolve", .privateConvention),
        ("_dl_runtime_profile", .privateConvention),
        ("_dl_tlsdesc_", .privateConvention),
        ("__x86_indirect_thunk_", .privateConvention),
        ("__llvm_retpoline_", .privateConvention),
        ("__asan_check_", .privateConvention),
        // V8's code for JavaScript: it takes arguments off its caller's stack, as many as a register says.
        ("Builtins_", .privateConvention),
        ("__asan_report_", .neverReturns),
        ("__tsan_", .looksAtCaller),
        ("_ZN4core9panicking", .neverReturns),
        ("$ss17_assertionFailure", .neverReturns),
    ]

    /// `std::__throw_…`: `_ZSt`, a length, the name.
    private static func standardLibraryReason(_ name: Substring) -> Reason? {
        guard name.utf8.starts(with: "_ZSt".utf8) else { return nil }
        return name.dropFirst(4).drop(while: \.isNumber).hasPrefix("__throw_") ? .neverReturns : nil
    }

    /// Swift async functions, closures, thunks and what runs after a suspension. The mangled name says so with
    /// `Ya` (async), `TY<n>_`, `TQ<n>_` (the part after a suspension) or an `H` in a thunk's `I…_`. A function
    /// that only takes an async closure looks the same and is treated the same.
    private static func swiftReason(_ name: Substring) -> Reason? {
        guard ["$s", "$S", "_$s"].contains(where: { name.utf8.starts(with: $0.utf8) }) else { return nil }
        let operators = withoutIdentifiers(name)
        var previous: UInt8 = 0
        var isInThunkType = false
        for byte in operators {
            switch (previous, byte) {
            case (UInt8(ascii: "Y"), UInt8(ascii: "a")), (UInt8(ascii: "T"), UInt8(ascii: "Y")),
                (UInt8(ascii: "T"), UInt8(ascii: "Q")):
                return .swiftAsync
            case (UInt8(ascii: "I"), UInt8(ascii: "e")): isInThunkType = true
            case (_, UInt8(ascii: "_")): isInThunkType = false
            case (_, UInt8(ascii: "H")) where isInThunkType: return .swiftAsync
            default: break
            }
            previous = byte
        }
        return nil
    }

    /// A mangled name without its identifiers, which stand behind their lengths.
    private static func withoutIdentifiers(_ name: Substring) -> [UInt8] {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        func isOperator(_ byte: UInt8) -> Bool { "TMWY".utf8.contains(byte) }
        var result: [UInt8] = []
        var rest = Array(name.utf8)[...]
        var previous: UInt8 = 0
        while let byte = rest.popFirst() {
            defer { previous = byte }
            switch byte {
            case UInt8(ascii: "S") where !isOperator(previous), UInt8(ascii: "A") where !isOperator(previous):
                // A substitution: counts are no lengths, and only the last letter is a capital.
                result.append(byte)
                let isList = byte == UInt8(ascii: "A")
                while let next = rest.first, digits.contains(next) || isList && next >= UInt8(ascii: "a") {
                    rest.removeFirst()
                }
                if isList { rest = rest.dropFirst() }
            case digits where byte != UInt8(ascii: "0"):
                var length = Int(byte - UInt8(ascii: "0"))
                while let digit = rest.first, digits.contains(digit), length < 100_000 {
                    length = length * 10 + Int(digit - UInt8(ascii: "0"))
                    rest.removeFirst()
                }
                // The index of a part, as in TY1_, is no length.
                if rest.first != UInt8(ascii: "_") { rest = rest.dropFirst(length) }
                result.append(UInt8(ascii: "."))
            default:
                result.append(byte)
            }
        }
        return result
    }
}
