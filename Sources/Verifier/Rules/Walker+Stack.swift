import BPF

extension Walker {
    /// The bytes that an access of the stack may touch, as offsets from r10.
    private mutating func stackRange(
        _ base: Register, _ pointer: RegisterState, _ offset: Int, _ count: Int, isWrite: Bool, _ isHelper: Bool = false
    ) throws(VerifierFailure) -> ClosedRange<Int> {
        let what = isWrite ? "write to" : "read from"
        let hint = "a function has 512 bytes of stack below r10"
        let low: Int
        let high: Int
        if let fixed = pointer.fixedOffset {
            low = Int(fixed) + offset
            high = low
            guard low >= -ProgramStructure.stackSize, low + count <= 0 else {
                throw failure("invalid \(what) stack R\(base.rawValue) off=\(low) size=\(count)", hint: hint)
            }
        } else {
            guard pointer.value.signedMinimum > -1 << 29, pointer.value.signedMaximum < 1 << 29 else {
                throw failure(
                    "invalid unbounded variable-offset \(what) stack R\(base.rawValue)",
                    hint: "compare the index with the size first, or mask it: i &= SIZE - 1")
            }
            low = Int(pointer.value.signedMinimum) + offset
            high = Int(pointer.value.signedMaximum) + offset
            guard low >= -ProgramStructure.stackSize, high + count <= 0 else {
                throw failure(
                    "invalid variable-offset \(what) stack R\(base.rawValue) var_off=\(log.text(pointer.value.bits)) off=\(low) size=\(count)",
                    hint: hint)
            }
        }
        if !isHelper { try checkAlignment(base, pointer, offset, count, of: "stack ") }
        let function = pointer.frame == state.depth ? state.function : Int(values.caller(Int(pointer.frame)).function)
        let index = Int(program.functionOfSlot[function])
        if stackDepths[index] < -low { stackDepths[index] = -low }
        // Bounds that contradict each other are those of a path that does not exist.
        return low...max(low, high)
    }

    private func slotIndex(_ offset: Int) -> Int { (-offset - 1) / 8 }
    private func byteIndex(_ offset: Int) -> Int { offset + 8 * (slotIndex(offset) + 1) }

    // MARK: - Reading

    mutating func readStack(
        _ base: Register, _ pointer: RegisterState, _ offset: Int, _ count: Int
    ) throws(VerifierFailure) -> RegisterState {
        let range = try stackRange(base, pointer, offset, count, isWrite: false)
        let frame = Int(pointer.frame)
        let start = range.lowerBound
        guard range.count == 1 else {
            try checkReadable(base, start, range.upperBound + count - start, frame: frame, count: count)
            return RegisterState(Scalar.unknown.truncated(toBytes: count))
        }
        let place = ValuePlace.stack(slotIndex(start), frame: frame)
        let bytes = values.slotBytes(place.index, frame: frame)
        let first = byteIndex(start)
        if StackSlot.isSpill(bytes), first == 0 {
            let spilledBytes = StackSlot.isWholeSpill(bytes) ? 8 : 4
            let register = values[place]
            if register.isPointer {
                guard count == 8 else {
                    throw failure("invalid size of register fill", hint: "a pointer is read as it was stored: whole")
                }
                return register
            }
            if count <= spilledBytes { return part(register, count, of: spilledBytes) }
        } else if StackSlot.hasHighSpill(bytes), first == 4, count <= 4 {
            return part(values[.stack(place.index, frame: frame, high: true)], count, of: 4)
        }
        try checkReadable(base, start, count, frame: frame, count: count)
        if StackSlot.isWholeSpill(bytes), values[place].isConstantZero {
            return RegisterState(Scalar(0), origin: values[place].origin)
        }
        let wanted = (count == 8 ? .max : UInt64(1) << UInt64(count * 8) - 1) << UInt64(first * 8)
        return bytes & wanted == StackSlot.allZero & wanted
            ? .constant(0) : RegisterState(Scalar.unknown.truncated(toBytes: count))
    }

    private func part(_ register: RegisterState, _ count: Int, of spilled: Int) -> RegisterState {
        if count == spilled { return register }
        return RegisterState(register.value.truncated(toBytes: count), origin: register.origin)
    }

    /// All bytes have been written, and none is part of a pointer. Of a string it is enough that it begins there.
    private func checkReadable(
        _ base: Register, _ start: Int, _ length: Int, frame: Int, count: Int, mayHoldPointers: Bool = false,
        isText: Bool = false
    ) throws(VerifierFailure) {
        var isInText = false
        var offset = start - 1
        while offset + 1 < start + length {
            offset += 1
            let slot = values.stackSlot(slotIndex(offset), frame: frame)
            let kind = slot.byte(byteIndex(offset))
            if isText {
                isInText = kind == StackSlot.textStart || isInText && kind == StackSlot.text
                if isInText { continue }
            } else if byteIndex(offset) == 0, offset + 8 <= start + length, slot.isWritten, !slot.holdsPointer {
                offset += 7
                continue
            }
            switch kind {
            case StackSlot.empty, StackSlot.text:
                guard options.allowsPointerLeaks else {
                    throw failure(
                        "invalid read from stack R\(base.rawValue) off \(start)+\(offset - start) size \(length)",
                        hint: "not all of it has been written: initialise the variable, padding included (= {} or memset)")
                }
            case StackSlot.spilled where slot.register.isPointer:
                guard mayHoldPointers || options.allowsPointerLeaks else {
                    throw failure(
                        "leaking pointer from stack off \(offset)",
                        hint: "a pointer that was stored there is read as data")
                }
            default: break
            }
        }
    }

    // MARK: - Writing

    /// - Parameter source: the register that is stored, where it is one: slot and register are then known to be the same.
    mutating func writeStack(
        _ base: Register, _ pointer: RegisterState, _ offset: Int, _ count: Int, _ value: RegisterState,
        source: Register?
    ) throws(VerifierFailure) {
        let range = try stackRange(base, pointer, offset, count, isWrite: true)
        let frame = Int(pointer.frame)
        if value.kind == .frame, Int(value.frame) > frame {
            throw failure(
                "cannot spill pointers to stack into stack frame of the caller",
                hint: "the function's own variables are gone when it returns")
        }
        guard range.count == 1 else {
            if value.isPointer {
                throw failure("variable-offset write of a pointer to stack R\(base.rawValue) is not allowed")
            }
            for offset in range.lowerBound...(range.upperBound + count - 1) {
                try forgetByte(offset, frame: frame, wasWritten: false)
            }
            return
        }
        let start = range.lowerBound
        let index = slotIndex(start)
        let first = byteIndex(start)
        if count == 8 {
            var value = value
            if let source, value.isScalar { value = link(source) }
            values.spill(value, to: index, frame: frame)
            return
        }
        var slot = values.stackSlot(index, frame: frame)
        guard value.isScalar else {
            throw failure("invalid size of register spill", hint: "a pointer is stored whole, in eight bytes")
        }
        if slot.holdsPointer, !options.allowsPointerLeaks {
            throw failure("attempt to corrupt spilled pointer on stack")
        }
        if count == 4 {
            let half: RegisterState
            if let source, value.value.maximum <= 0xffff_ffff {
                half = link(source)
            } else {
                half = RegisterState(value.value.zeroExtended, origin: value.origin)
            }
            slot.spillHalf(half, high: first == 4)
        } else {
            let isZero = value.value.truncated(toBytes: count).constant == 0
            if isZero { relyOn(value.origin) }
            for byte in first..<first + count { slot.write(byte, isZero ? StackSlot.zero : StackSlot.data) }
        }
        values.setStackSlot(index, frame: frame, slot)
    }

    /// A byte that is (or may have been) written with some number.
    private mutating func forgetByte(_ offset: Int, frame: Int, wasWritten: Bool) throws(VerifierFailure) {
        let index = slotIndex(offset)
        var slot = values.stackSlot(index, frame: frame)
        if slot.holdsPointer {
            guard options.allowsPointerLeaks else {
                throw failure("attempt to corrupt spilled pointer on stack")
            }
        }
        switch slot.byte(byteIndex(offset)) {
        case StackSlot.empty where !wasWritten: break
        // A string that is written into may have lost its end.
        case StackSlot.text where !wasWritten: slot.write(byteIndex(offset), StackSlot.empty)
        default: slot.write(byteIndex(offset), StackSlot.data)
        }
        values.setStackSlot(index, frame: frame, slot)
    }

    // MARK: - Helpers

    /// A helper reads or writes that much of the stack. What is text it reads, or writes, to its end only.
    mutating func helperStack(
        _ base: Register, _ pointer: RegisterState, _ length: Int, isWrite: Bool, isExact: Bool,
        mayHoldPointers: Bool = false, isText: Bool = false
    ) throws(VerifierFailure) {
        guard length > 0 else { return }
        let range = try stackRange(base, pointer, 0, length, isWrite: isWrite, true)
        let frame = Int(pointer.frame)
        let start = range.lowerBound
        let total = range.upperBound - start + length
        if !isWrite {
            try checkReadable(
                base, start, total, frame: frame, count: length, mayHoldPointers: mayHoldPointers, isText: isText)
        }
        guard isWrite else { return }
        // Where it is not sure that all of it will be written, what was empty stays so.
        let isSure = isExact && range.count == 1 && !isText
        if isSure {
            // Slots that are overwritten as a whole may have held pointers.
            for index in slotIndex(start + length - 1)...slotIndex(start) {
                let bottom = -8 * (index + 1)
                if start <= bottom, bottom + 8 <= start + length {
                    values.setBytes(index, frame: frame, StackSlot.allData)
                }
            }
        }
        for offset in start..<start + total {
            // Data already, with all around it.
            if values.slotBytes(slotIndex(offset), frame: frame) == StackSlot.allData { continue }
            try forgetByte(offset, frame: frame, wasWritten: isSure)
        }
        if isText, isExact, range.count == 1 { beginText(at: start, length, frame: frame) }
    }

    /// A string has been written there, as long as the buffer at most, with its end.
    private mutating func beginText(at start: Int, _ length: Int, frame: Int) {
        for offset in start..<start + length {
            var slot = values.stackSlot(slotIndex(offset), frame: frame)
            if offset == start {
                slot.write(byteIndex(offset), StackSlot.textStart)
            } else if slot.byte(byteIndex(offset)) == StackSlot.empty {
                slot.write(byteIndex(offset), StackSlot.text)
            }
            values.setStackSlot(slotIndex(offset), frame: frame, slot)
        }
    }
}
