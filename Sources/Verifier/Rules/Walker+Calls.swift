import BPF

extension Walker {
    /// Walks a call; false if the path ends with it.
    mutating func call(_ target: CallTarget) throws(VerifierFailure) -> Bool {
        switch target {
        case .helper(let id):
            try callHelper(id)
        case .external(let index):
            try callKfunc(index)
        case .subprogram(let distance):
            let index = Int(program.functionOfSlot[state.slot + 1 + Int(distance)])
            if program.functions[index].isGlobal {
                try callGlobal(index)
            } else {
                try checkDepth()
                let frame = state.depth
                enter(program.functions[index].slots.lowerBound, callbackDepth: -1)
                for register in 1...5 { values[register, frame + 1] = values[register, frame] }
            }
        }
        return true
    }

    /// Nothing is left in the registers that a call may change; r0 has its result.
    mutating func finishCall(_ result: RegisterState) {
        setResult(result)
        state.slot += 1
    }

    private mutating func setResult(_ result: RegisterState) {
        for register in 1...5 where values[register, state.depth].kind != .uninitialized {
            values[register, state.depth] = RegisterState()
        }
        values[0, state.depth] = result
    }

    /// Where it happens, another program takes the place of the function and returns some number to the function's caller;
    /// what stands behind the call is never done. Where it does not happen, the function goes on.
    mutating func tailCall() throws(VerifierFailure) {
        guard state.depth > 0, !options.omitted.contains(.tailCallsEndFunctions) else {
            finishCall(RegisterState())
            return
        }
        if values.caller(state.depth - 1).isCallback {
            throw failure(
                "At callback return the register R0 has unknown scalar value should have been in [0, 1]",
                hint: "a callback makes no tail calls: what the other program returns is not known")
        }
        setResult(RegisterState())
        try push(slot: state.slot + 1)
        setResult(.unknown)
        _ = try exit()
    }

    func checkDepth() throws(VerifierFailure) {
        guard state.depth + 1 < PathState.frameLimit else {
            throw failure(
                "the call stack of \(state.depth + 2) frames is too deep",
                hint: Self.frameHint)
        }
    }

    /// Starts a function in a frame of its own, where nothing is in its registers yet; there is room for it.
    mutating func enter(_ start: Int, callbackDepth depth: Int32) {
        let caller = PathState.CallerFrame(
            function: Int32(truncatingIfNeeded: state.function), callSlot: Int32(truncatingIfNeeded: state.slot),
            callbackDepth: depth, references: Int32(truncatingIfNeeded: state.references.count))
        values.setCaller(state.depth, caller)
        state.depth += 1
        values.clear(frame: state.depth)
        var frame = RegisterState(kind: .frame)
        frame.frame = UInt8(truncatingIfNeeded: state.depth)
        values[10, state.depth] = frame
        state.function = start
        state.slot = start
        callbackDepth = 0
    }

    // MARK: - Kfuncs

    static let kfuncHint = "in a process there are \(SessionKfunc.names)"

    private mutating func callKfunc(_ index: Int32) throws(VerifierFailure) {
        guard input.externs.indices.contains(Int(index)) else { throw failure("invalid kernel function call: no extern \(index)") }
        let name = input.externs[Int(index)].name
        guard let kfunc = SessionKfunc(rawValue: name) else {
            throw failure("calling kernel function \(name) is not allowed", hint: Self.kfuncHint)
        }
        guard input.kind == .session else {
            throw failure(
                "calling kernel function \(name) is not allowed",
                hint: "it is for session programs: SEC(\"fsession/FUNCTION\")")
        }
        let argument = try read(.r1)
        guard argument.kind == .context else {
            throw failure(
                "R1 expected pointer to ctx, but got \(log.kindName(argument))",
                hint: "\(name) takes the program's ctx: hand it on through functions in between")
        }
        try checkContextArgument(.r1, of: name)
        switch kfunc {
        case .isReturn: finishCall(RegisterState(Scalar(0...1)))
        case .cookie: finishCall(RegisterState(kind: .memory, size: 8))
        }
    }

    /// A pointer to the context as the program got it.
    func checkContextArgument(_ register: Register, of name: String) throws(VerifierFailure) {
        let value = try read(register)
        guard value.kind == .context else {
            throw failure(
                "R\(register.rawValue) type=\(log.kindName(value)) expected=ctx",
                hint: "\(name) takes the program's ctx: hand it on through functions in between")
        }
        guard value.fixedOffset == 0 else {
            throw failure(
                "dereference of modified ctx ptr R\(register.rawValue) off=\(value.fixedOffset ?? 0) disallowed",
                hint: "\(name) takes ctx itself")
        }
    }

    // MARK: - Global functions

    private mutating func callGlobal(_ index: Int) throws(VerifierFailure) {
        let function = program.functions[index]
        for (number, parameter) in function.parameters.enumerated() {
            let register = Register(rawValue: UInt8(number + 1))
            let value = try read(register)
            switch parameter {
            case .scalar:
                guard value.isScalar else {
                    throw failure(
                        "R\(register.rawValue) is not a scalar",
                        hint: "\(function.name) takes a number there")
                }
            case .context:
                try checkContextArgument(register, of: function.name)
            case .memory(let size, let isNullable):
                if isNullable, value.isConstantZero {
                    relyOn(value.origin)
                    continue
                }
                // It may read all of it, and write what it likes.
                if !options.omitted.contains(.globalsReadMemory) {
                    try checkMemory(register, value, Int(size), isWrite: false, isExact: true, mayBeNull: isNullable)
                }
                try checkMemory(register, value, Int(size), isWrite: true, isExact: false, mayBeNull: isNullable)
            }
        }
        log.note("Func#\(index) ('\(function.name)') is global and assumed valid.")
        if globalsSeen.insert(index).inserted { globalsToWalk.append(index) }
        finishCall(.unknown)
    }

    // MARK: - Exit

    /// Returns; false if the path ends with it.
    mutating func exit() throws(VerifierFailure) -> Bool {
        guard state.depth > 0 else {
            try checkEnd()
            return false
        }
        let caller = values.caller(state.depth - 1)
        // A function that returns nothing leaves nothing to be read.
        let result = values[0, state.depth]
        if result.kind == .frame {
            throw failure(
                "cannot return stack pointer to the caller", hint: "the function's own variables are gone when it returns")
        }
        if caller.isCallback {
            try checkResult(read(.r0), 0...1, "At callback return")
            if state.references.count > Int(caller.references) {
                throw leak(state.references[Int(caller.references)])
            }
        }
        log.note("returning from callee to caller at \(caller.callSlot)")
        state.depth -= 1
        state.function = Int(caller.function)
        state.slot = Int(caller.callSlot)
        if caller.isCallback {
            // The helper goes on: once more, or behind the call.
            callbackDepth = caller.callbackDepth
        } else {
            finishCall(result)
        }
        return true
    }

    private func leak(_ reference: PathState.Reference) -> VerifierFailure {
        failure(
            "Unreleased reference id=\(reference.id) alloc_insn=\(reference.slot)\n"
                + "BPF_EXIT instruction would lead to reference leak",
            hint: "submit or discard the ring buffer record of instruction \(reference.slot) on every path")
    }

    private mutating func checkEnd() throws(VerifierFailure) {
        let result = try read(.r0)
        if let reference = state.references.first { throw leak(reference) }
        if rootFunction != nil {
            guard result.isScalar else {
                throw failure("At subprogram exit the register R0 is not a scalar value (\(log.kindName(result)))")
            }
            return
        }
        if options.allowsPointerLeaks, input.kind == .fmodRet { return }
        guard result.isScalar else {
            throw options.allowsPointerLeaks
                ? failure("At program exit the register R0 is not a known value (\(log.kindName(result)))")
                : failure("R0 leaks addr as return value", hint: "return 0")
        }
        if input.kind == .fmodRet { return }
        try checkResult(result, 0...0, "At program exit")
    }

    private mutating func checkResult(
        _ result: RegisterState, _ allowed: ClosedRange<Int64>, _ place: String
    ) throws(VerifierFailure) {
        guard result.isScalar else {
            throw failure("\(place) the register R0 is not a known value (\(log.kindName(result)))")
        }
        relyOn(result.origin)
        let range = result.value
        guard range.signedMinimum >= allowed.lowerBound, range.signedMaximum <= allowed.upperBound else {
            var found = ""
            if range.signedMinimum > .min { found += "smin=\(range.signedMinimum) " }
            if range.signedMaximum < .max { found += "smax=\(range.signedMaximum) " }
            if found.isEmpty { found = "unknown scalar value " }
            throw failure(
                "\(place) the register R0 has \(found)should have been in [\(allowed.lowerBound), \(allowed.upperBound)]",
                hint: allowed == 0...0 ? "programs of this kind return 0 on every path" : "a callback returns 0 or 1")
        }
    }
}
