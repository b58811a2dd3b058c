import BPF

extension Walker {
    /// What the arguments of a call said, for its result.
    private struct Call {
        var map: MapDefinition?
        var mapIndex: Int32 = 0
        var allocated: Int32 = 0
        var sizeLimit: Int64 = 0
        var released: UInt32 = 0
        var function = 0
        var callback: HelperPrototype.Callback?
    }

    mutating func callHelper(_ id: UInt32) throws(VerifierFailure) {
        guard let helper = Helper(rawValue: id) else {
            throw failure(
                "invalid func unknown#\(Int32(bitPattern: id))",
                hint: "there is no helper of that number; docs/helpers.md lists those that programs in a process have")
        }
        guard let prototype = HelperPrototype.of(id) else {
            throw failure(
                "program of this type cannot use helper \(helper.name)#\(id)",
                hint: "it does not exist for programs in a process; docs/helpers.md lists those that do")
        }
        if helper == .tailCall, let reference = state.references.first {
            throw failure(
                "tail_call would lead to reference leak",
                hint: "submit or discard the ring buffer record of instruction \(reference.slot) first")
        }
        if helper == .tailCall {
            let function = program.function(at: state.slot)
            guard function.returnsNumber || function.slots.lowerBound == 0 else {
                throw failure(
                    "tail_call is only allowed in functions that return 'int'.",
                    hint: "\(function.name) is left with what the other program returns: declare it so")
            }
        }
        var call = Call()
        var index = 0
        while index < prototype.arguments.count {
            let register = Register(rawValue: UInt8(index + 1))
            let next = index + 1 < prototype.arguments.count ? prototype.arguments[index + 1] : nil
            try checkArgument(prototype.arguments[index], register, next, helper, &call)
            index += 1
        }
        if call.released != 0 { release(call.released) }
        if let callback = call.callback {
            try callBack(callback, call)
            return
        }
        if prototype.result == .tailCall {
            try tailCall()
            return
        }
        var value = try result(prototype.result, call)
        if helper == .mapLookupElem, let map = call.map, map.type.traits.isSuperset(of: .valueArray) {
            let found = constantElement(map).map { ConstantLookup(map: Int(call.mapIndex), element: $0) }
            // A path that is dropped has the same key as the one that it is dropped for: the walk relied on it.
            if let known = lookups[state.slot] {
                if known != found { lookups[state.slot] = .some(nil) }
            } else {
                lookups[state.slot] = .some(found)
            }
            if found != nil { (value.isNullable, value.id) = (false, newID()) }
        }
        finishCall(value)
    }

    /// The element that a constant key names. Elements of an array are all there.
    private mutating func constantElement(_ map: MapDefinition) -> UInt32? {
        guard map.keySize == 4 else { return nil }
        let key = values[2, state.depth]
        guard key.kind == .frame, let offset = key.fixedOffset, offset % 4 == 0, (-512...(-4)).contains(offset) else {
            return nil
        }
        let slot = values.stackSlot((-Int(offset) - 1) / 8, frame: Int(key.frame))
        let isHigh = offset % 8 != 0
        guard isHigh ? slot.hasHighSpill : slot.isSpill else { return nil }
        let register = isHigh ? slot.high : slot.register
        guard register.isScalar, let index = register.value.constant32, index < map.maxEntries else { return nil }
        relyOn(register.origin)
        return index
    }

    /// Helpers that change the map they are handed.
    private static let writing: Set<Helper> = [.mapUpdateElem, .mapDeleteElem, .mapPushElem, .mapPopElem]

    // MARK: - Arguments

    private mutating func checkArgument(
        _ argument: HelperPrototype.Argument, _ register: Register, _ next: HelperPrototype.Argument?,
        _ helper: Helper, _ call: inout Call
    ) throws(VerifierFailure) {
        let value = try read(register)
        let name = "R\(register.rawValue)"
        switch argument {
        case .anything:
            if value.isPointer, !options.allowsPointerLeaks {
                throw failure(
                    "\(name) leaks addr into helper function",
                    hint: "\(helper.name) takes a number there")
            }
        case .address, .callbackContext: break
        case .map(let accepted):
            guard value.kind == .map else { throw wrongKind(register, value, "map_ptr") }
            let map = try map(value.index)
            guard accepted.contains(map.type) else {
                if helper == .tailCall { throw failure("expected prog array map for tail call") }
                throw failure(
                    "cannot pass map_type \(map.type.rawValue) into func \(helper.name)#\(helper.rawValue)",
                    hint: "'\(map.name)' is a \(map.type.kernelName) map")
            }
            if map.section == .rodata, Self.writing.contains(helper) {
                throw failure("write into map forbidden", hint: "constants cannot be written")
            }
            call.map = map
            call.mapIndex = value.index
        case .mapKey:
            try checkMemory(register, value, Int(call.map?.keySize ?? 0), isWrite: false, isExact: true)
        case .mapValue:
            try checkMemory(register, value, Int(call.map?.valueSize ?? 0), isWrite: false, isExact: true)
        case .newMapValue:
            try checkMemory(register, value, Int(call.map?.valueSize ?? 0), isWrite: true, isExact: true)
        case .newMemoryOf(let size):
            // An fentry program has no return value, and its call becomes an error, which writes nothing.
            let isWritten = helper != .getFuncRet || input.kind != .fentry
            try checkMemory(register, value, size, isWrite: true, isExact: isWritten)
        case .memory, .text, .newMemory, .newText, .newTextOrNull, .words:
            let size = Register(rawValue: register.rawValue + 1)
            let mayBeNull = argument == .newTextOrNull || argument == .words
            let isNewText = argument == .newText || argument == .newTextOrNull
            let isShort = isNewText && !options.omitted.contains(.textMayBeShort)
            try checkSizedMemory(
                register, value, size, mayBeEmpty: next == .sizeOrZero, isWrite: argument == .newMemory || isNewText,
                isExact: argument != .newTextOrNull || !isShort, isText: argument == .text || isShort, mayBeNull: mayBeNull,
                mayHoldPointers: argument == .words, &call)
            if argument == .words, call.sizeLimit % 8 != 0 {
                throw failure("\(helper.name) is handed \(call.sizeLimit) bytes of values, no multiple of 8")
            }
        case .size, .sizeOrZero: break
        case .string: try checkString(register, value, helper)
        case .context: try checkContextArgument(register, of: helper.name)
        case .function(let callback):
            guard value.kind == .function else { throw wrongKind(register, value, "func") }
            call.function = Int(value.index)
            call.callback = callback
        case .allocationSize:
            guard value.isScalar, let size = value.value.constant else {
                throw failure("\(name) is not a known constant", hint: "\(helper.name) reserves a size that is known")
            }
            relyOn(value.origin)
            guard size <= 1 << 29 else { throw failure("\(name) unbounded memory access: \(size) bytes are too many") }
            call.allocated = Int32(size)
        case .record:
            guard value.kind == .memory, value.isRecord, !value.isNullable, value.reference != 0 else {
                throw wrongKind(register, value, "ringbuf_mem")
            }
            guard value.fixedOffset == 0 else {
                throw failure(
                    "\(name) must have zero offset when passed to release func or trusted arg to kfunc",
                    hint: "\(helper.name) takes the record as bpf_ringbuf_reserve returned it")
            }
            call.released = value.reference
        }
    }

    private func wrongKind(_ register: Register, _ value: RegisterState, _ expected: String) -> VerifierFailure {
        failure(
            "R\(register.rawValue) type=\(log.kindName(value)) expected=\(expected)",
            hint: value.isNullable ? "check it for NULL first" : nil)
    }

    /// Memory whose size is in the next register.
    private mutating func checkSizedMemory(
        _ register: Register, _ value: RegisterState, _ sizeRegister: Register, mayBeEmpty: Bool, isWrite: Bool,
        isExact: Bool, isText: Bool, mayBeNull: Bool, mayHoldPointers: Bool, _ call: inout Call
    ) throws(VerifierFailure) {
        let size = try read(sizeRegister)
        let name = "R\(sizeRegister.rawValue)"
        guard size.isScalar else { throw wrongKind(sizeRegister, size, "scalar") }
        relyOn(size.origin)
        guard size.value.signedMinimum >= 0 else {
            throw failure(
                "\(name) min value is negative, either use unsigned or 'var &= const'",
                hint: "make the size unsigned, and compare it with the buffer's")
        }
        guard size.value.minimum > 0 || mayBeEmpty else {
            throw failure(
                "\(name) invalid zero-sized read: u64=[\(size.value.minimum),\(size.value.maximum)]",
                hint: "check that the size is not 0")
        }
        guard size.value.maximum < 1 << 29 else {
            throw failure(
                "\(name) unbounded memory access, use 'var &= const' or 'if (var < const)'",
                hint: "compare the size with the buffer's first")
        }
        call.sizeLimit = Int64(size.value.maximum)
        if mayBeNull, value.isConstantZero {
            relyOn(value.origin)
            guard size.value.constant == 0 else {
                throw failure("R\(register.rawValue) type=scalar expected=fp, map_key, map_value, mem, ringbuf_mem")
            }
            return
        }
        try checkMemory(
            register, value, Int(size.value.maximum), isWrite: isWrite, isExact: isExact && size.value.isConstant,
            mayHoldPointers: mayHoldPointers, isText: isText)
    }

    /// A helper reads, or writes, that many bytes from where the register points on. With `isExact` it writes all of
    /// them, or if they are text, up to its end.
    mutating func checkMemory(
        _ register: Register, _ value: RegisterState, _ count: Int, isWrite: Bool, isExact: Bool,
        mayBeNull: Bool = false, mayHoldPointers: Bool = false, isText: Bool = false
    ) throws(VerifierFailure) {
        let expected = "fp, map_key, map_value, mem, ringbuf_mem"
        if value.isNullable, !mayBeNull { throw wrongKind(register, value, expected) }
        switch value.kind {
        case .frame:
            try helperStack(
                register, value, count, isWrite: isWrite, isExact: isExact, mayHoldPointers: mayHoldPointers,
                isText: isText)
        case .mapValue, .mapKey, .memory:
            if isWrite { try checkWritable(register, value, 0, count) }
            try checkRegion(register, value, 0, count, mayBeEmpty: true)
        default: throw wrongKind(register, value, expected)
        }
    }

    /// A string that is known: in frozen data, with its terminator.
    private func checkString(_ register: Register, _ value: RegisterState, _ helper: Helper) throws(VerifierFailure) {
        let name = "R\(register.rawValue)"
        guard value.kind == .mapValue, !value.isNullable else { throw wrongKind(register, value, "map_value") }
        guard value.isReadOnly, let contents = input.maps[Int(value.index)].initialContents else {
            throw failure(
                "\(name) does not point to a readonly map'",
                hint: "\(helper.name) takes a constant string: static const char format[] = \"…\"")
        }
        guard let offset = value.fixedOffset else { throw failure("\(name) is not a constant address'") }
        guard offset >= 0, Int(offset) < contents.count, contents[Int(offset)...].contains(0) else {
            throw failure("string is not zero-terminated")
        }
    }

    // MARK: - Results

    /// Each state has a list of them.
    private static let referenceLimit = 512

    private mutating func result(_ result: HelperPrototype.Result, _ call: Call) throws(VerifierFailure) -> RegisterState {
        switch result {
        case .scalar: return .unknown
        case .tailCall: return RegisterState()
        case .range(let range): return RegisterState(Scalar(signed: range))
        case .sizeOrError: return RegisterState(Scalar(signed: -4095...max(0, call.sizeLimit)))
        case .mapValueOrNull:
            var register = RegisterState(
                kind: .mapValue, index: call.mapIndex, size: Int32(clamping: call.map?.valueSize ?? 0))
            register.isNullable = true
            register.isReadOnly = call.map?.section == .rodata
            register.id = newID()
            return register
        case .recordOrNull:
            var register = RegisterState(kind: .memory, size: call.allocated)
            register.isNullable = true
            register.isRecord = true
            register.id = newID()
            register.reference = register.id
            guard state.references.count < Self.referenceLimit else {
                throw failure(
                    "\(state.references.count) references are held at the same time: these are too many",
                    hint: "submit or discard records before others are reserved")
            }
            state.references.append(PathState.Reference(id: register.id, slot: state.slot))
            return register
        }
    }

    /// All pointers to what was given back are gone.
    private mutating func release(_ reference: UInt32) {
        state.references.removeAll { $0.id == reference }
        values.update(reference: reference, depth: state.depth, &graph) { register, _ in
            register = RegisterState()
            return true
        }
    }

    // MARK: - Callbacks

    /// The helper calls the function none or more times.
    private mutating func callBack(
        _ callback: HelperPrototype.Callback, _ call: Call
    ) throws(VerifierFailure) {
        let rounds = values[1, state.depth]
        var mayGoOn = true
        if callback == .round {
            guard rounds.isScalar else { throw wrongKind(.r1, rounds, "scalar") }
            if UInt64(callbackDepth) >= rounds.value.maximum {
                relyOn(rounds.origin)
                mayGoOn = false
            }
        }
        if mayGoOn {
            try checkDepth()
            let difference = WaitingPath.Callback(
                kind: callback, start: call.function, depth: callbackDepth + 1, map: call.mapIndex,
                id: callback == .element ? newID() : 0)
            try push(slot: state.slot, .callback(difference))
        }
        // The next helper starts anew.
        callbackDepth = 0
        finishCall(.unknown)
    }

    /// The function starts, in a frame for which there is room, with what the helper hands it.
    mutating func enter(_ callback: WaitingPath.Callback) {
        let frame = state.depth
        let (rounds, context) = (values[1, frame], values[3, frame])
        enter(callback.start, callbackDepth: callback.depth)
        switch callback.kind {
        case .round:
            var index = Scalar.unknown
            if rounds.value.maximum > 0, rounds.value.maximum <= 1 << 23 {
                // Rounds are counted from 0, and more than 2²³ are refused.
                index = Scalar(0...rounds.value.maximum - 1)
            }
            values[1, frame + 1] = RegisterState(index, origin: rounds.origin)
            values[2, frame + 1] = context
        case .element:
            let map = input.maps[Int(callback.map)]
            values[1, frame + 1] = RegisterState(kind: .map, index: callback.map)
            values[2, frame + 1] = RegisterState(kind: .mapKey, index: callback.map, size: Int32(clamping: map.keySize))
            var value = RegisterState(kind: .mapValue, index: callback.map, size: Int32(clamping: map.valueSize))
            value.id = callback.id
            value.isReadOnly = map.section == .rodata
            values[3, frame + 1] = value
            values[4, frame + 1] = context
        }
    }
}
