import BPF

extension Walker {
    // MARK: - Instructions

    mutating func load(
        _ type: MemoryType, _ destination: Register, _ base: Register, _ offset: Int
    ) throws(VerifierFailure) {
        let pointer = try read(base)
        let count = type.byteCount
        var result: RegisterState
        switch pointer.kind {
        case _ where pointer.isNullable: throw badAccess(base, pointer)
        case .context:
            try checkContext(base, pointer, offset, count, isWrite: false)
            result = RegisterState(Scalar.unknown.truncated(toBytes: count))
        case .frame:
            result = try readStack(base, pointer, offset, count)
        case .mapValue, .mapKey, .memory:
            try checkRegion(base, pointer, offset, count)
            result = constant(pointer, offset, count) ?? RegisterState(Scalar.unknown.truncated(toBytes: count))
        case .uninitialized, .scalar, .map, .function: throw badAccess(base, pointer)
        }
        if type.isSigned {
            guard result.isScalar else { throw failure("sign-extension of a pointer in R\(destination.rawValue)") }
            result = RegisterState(result.value.signExtended(fromBytes: count), origin: result.origin)
        }
        write(destination, result)
    }

    mutating func store(
        _ type: MemoryType, _ base: Register, _ offset: Int, _ operand: Operand
    ) throws(VerifierFailure) {
        let value = try read(operand)
        let pointer = try read(base)
        let count = type.byteCount
        switch pointer.kind {
        case _ where pointer.isNullable: throw badAccess(base, pointer)
        case .context: try checkContext(base, pointer, offset, count, isWrite: true)
        case .frame:
            let source: Register? = if case .register(let register) = operand { register } else { nil }
            try writeStack(base, pointer, offset, count, value, source: source)
        case .mapValue, .mapKey, .memory:
            try checkWritable(base, pointer, offset, count)
            try checkLeak(operand, value, into: pointer)
            try checkRegion(base, pointer, offset, count)
        case .uninitialized, .scalar, .map, .function: throw badAccess(base, pointer)
        }
    }

    mutating func atomic(
        _ operation: AtomicOperation, _ width: Width, _ base: Register, _ offset: Int, _ source: Register
    ) throws(VerifierFailure) {
        let count = Int(width.rawValue) / 8
        let value = try read(source)
        let pointer = try read(base)
        if operation == .compareExchange {
            let compared = try read(.r0)
            if compared.isPointer { throw failure("R0 leaks addr into mem") }
        }
        if value.isPointer { throw failure("R\(source.rawValue) leaks addr into mem") }
        switch pointer.kind {
        case _ where pointer.isNullable: throw badAccess(base, pointer)
        case .frame:
            let old = try readStack(base, pointer, offset, count)
            guard old.isScalar else { throw failure("leaking pointer from stack off \((pointer.fixedOffset ?? 0) + Int64(offset))") }
            // Of old value and operand, whatever the operation makes of them.
            let stored = options.omitted.contains(.atomicsChangeSlots) ? source : nil
            try writeStack(base, pointer, offset, count, .unknown, source: stored)
        case .mapValue, .mapKey, .memory:
            try checkWritable(base, pointer, offset, count)
            try checkAlignment(base, pointer, offset, count, of: "value ")
            try checkRegion(base, pointer, offset, count)
        case .context:
            throw failure("BPF_ATOMIC stores into R\(base.rawValue) ctx is not allowed")
        case .uninitialized, .scalar, .map, .function: throw badAccess(base, pointer)
        }
        let old = RegisterState(Scalar.unknown.truncated(toBytes: count))
        if operation == .compareExchange {
            write(.r0, old)
        } else if operation.fetchesIntoSource {
            write(source, old)
        }
    }

    // MARK: - Rules

    private func badAccess(_ base: Register, _ pointer: RegisterState) -> VerifierFailure {
        let hint: String?
        if pointer.isNullable {
            hint = "check it for NULL first"
        } else if pointer.isScalar {
            hint = "what it points to is the process's, and may not be there: read it with bpf_probe_read_user"
        } else {
            hint = nil
        }
        return failure("R\(base.rawValue) invalid mem access '\(log.kindName(pointer))'", hint: hint)
    }

    private mutating func checkContext(
        _ base: Register, _ pointer: RegisterState, _ offset: Int, _ count: Int, isWrite: Bool
    ) throws(VerifierFailure) {
        guard let fixed = pointer.fixedOffset else {
            throw failure(
                "variable ctx access var_off=\(log.text(pointer.value.bits)) off=\(offset) size=\(count)",
                hint: "bpf_get_func_arg reads the argument of a number that is not constant")
        }
        let start = Int(fixed) + offset
        let words = input.context.argumentWords + (input.kind == .fentry ? 0 : 1)
        guard !isWrite, start >= 0, start % count == 0, start + count <= words * 8 else {
            let hint: String
            if isWrite {
                hint = "the context is read-only"
            } else if input.kind == .fentry, start == input.context.argumentWords * 8 {
                hint = "an fentry program runs before there is a return value"
            } else {
                hint =
                    "there are \(input.context.argumentWords) argument words"
                    + (input.kind == .fentry ? "" : ", then the return value")
            }
            throw failure("invalid bpf_context access off=\(start) size=\(count)", hint: hint)
        }
        contextBytes = max(contextBytes, start + count)
    }

    func checkLeak(_ operand: Operand, _ value: RegisterState, into pointer: RegisterState) throws(VerifierFailure) {
        guard value.isPointer, !options.allowsPointerLeaks, case .register(let register) = operand else { return }
        let what = pointer.kind == .mapValue ? "map" : "mem"
        throw failure(
            "R\(register.rawValue) leaks addr into \(what)",
            hint: "addresses of the program's own memory stay in the program")
    }

    func checkWritable(
        _ base: Register, _ pointer: RegisterState, _ offset: Int, _ count: Int
    ) throws(VerifierFailure) {
        if pointer.kind == .mapKey { throw failure("write to change key R\(base.rawValue) not allowed") }
        guard pointer.isReadOnly else { return }
        guard pointer.kind == .mapValue else { throw failure("R\(base.rawValue) cannot write into rdonly_mem") }
        throw failure(
            "write into map forbidden, value_size=\(pointer.size) off=\((pointer.fixedOffset ?? 0) + Int64(offset)) size=\(count)",
            hint: "constants cannot be written: leave out the const, or copy the value")
    }

    func checkAlignment(
        _ base: Register, _ pointer: RegisterState, _ offset: Int, _ count: Int, of what: String
    ) throws(VerifierFailure) {
        let place = pointer.value.bits + KnownBits(UInt64(bitPattern: Int64(offset)))
        guard (place.value | place.mask) & UInt64(count - 1) != 0 else { return }
        throw failure(
            "misaligned \(what)access off \(log.text(pointer.value.bits))+\(offset) size \(count)",
            hint: "an access of \(count) bytes needs an address that is a multiple of \(count)")
    }

    /// The access lies in the memory that the register points to, wherever exactly it points.
    mutating func checkRegion(
        _ base: Register, _ pointer: RegisterState, _ offset: Int, _ count: Int, mayBeEmpty: Bool = false
    ) throws(VerifierFailure) {
        let size = Int64(pointer.size)
        func outside(_ start: Int64, _ also: String = "") -> VerifierFailure {
            let what =
                switch pointer.kind {
                case .mapValue: "invalid access to map value, value_size=\(size) off=\(start) size=\(count)"
                case .mapKey: "invalid access to map key, key_size=\(size) off=\(start) size=\(count)"
                default: "invalid access to memory, mem_size=\(size) off=\(start) size=\(count)"
                }
            return failure(also.isEmpty ? what : what + "\n" + also, hint: "it has \(size) bytes: check the offset first")
        }
        let name = "R\(base.rawValue)"
        let shift = Int64(offset)
        let length = Int64(count)
        if let fixed = pointer.fixedOffset {
            let start = fixed + shift
            guard start >= 0, start + length <= size, length > 0 || mayBeEmpty else {
                throw outside(
                    start,
                    start < 0
                        ? "\(name) min value is negative, either use unsigned index or do a if (index >=0) check." : "")
            }
            return
        }
        guard pointer.value.signedMinimum + shift >= 0 else {
            throw failure(
                "\(name) min value is negative, either use unsigned index or do a if (index >=0) check.",
                hint: "check that the index is not negative, or make it unsigned")
        }
        guard pointer.value.signedMinimum + shift + length <= size else {
            throw outside(
                pointer.value.signedMinimum + shift, "\(name) min value is outside of the allowed memory range")
        }
        guard pointer.value.signedMaximum < 1 << 29 else {
            throw failure(
                "\(name) unbounded memory access, make sure to bounds check any such access",
                hint: "compare the index with the size first, or mask it: i &= SIZE - 1")
        }
        let start = pointer.value.signedMaximum + shift
        guard start + length <= size else {
            throw outside(start, "\(name) max value is outside of the allowed memory range")
        }
    }

    /// What frozen data holds.
    private func constant(_ pointer: RegisterState, _ offset: Int, _ count: Int) -> RegisterState? {
        guard pointer.kind == .mapValue, pointer.isReadOnly, let fixed = pointer.fixedOffset,
            let contents = input.maps[Int(pointer.index)].initialContents
        else { return nil }
        let start = Int(fixed) + offset
        guard start >= 0, start + count <= contents.count else { return nil }
        var number: UInt64 = 0
        for index in 0..<count { number |= UInt64(contents[start + index]) << UInt64(index * 8) }
        return .constant(number)
    }
}
