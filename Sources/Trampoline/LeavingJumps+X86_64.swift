import MachineCode

extension X86_64 {
    package static func scanForLeaving(
        _ found: inout LeavingJumps, _ text: UnsafeRawBufferPointer, base: UInt64, in offsets: Range<Int>, code: Range<UInt64>, slots: Range<UInt64>,
        range: (UInt64) -> Range<UInt64>, isSlot: (UInt64) -> Bool, isStart: (UInt64) -> Bool
    ) {
        let openings = Self.openings
        var current = 0..<UInt64(0)
        var offset = offsets.lowerBound
        let end = min(offsets.upperBound, text.count - 4)
        func target(_ distance: Int) -> UInt64 {
            let value = text.loadUnaligned(fromByteOffset: distance, as: Int32.self).littleEndian
            return base &+ UInt64(distance + 4) &+ UInt64(bitPattern: Int64(value))
        }
        while offset < end {
            defer { offset += 1 }
            guard openings.contains(text.loadUnaligned(fromByteOffset: offset, as: UInt16.self).littleEndian) else { continue }
            let byte = text[offset]
            let address = base &+ UInt64(offset)
            switch byte {
            case 0xE9:
                noteJump(&found, address, target(offset + 1), code, &current, range)
            case 0x0F where offset + 6 <= text.count && text[offset + 1] & 0xF0 == 0x80:
                noteJump(&found, address, target(offset + 2), code, &current, range)
            case 0x0F where offset + 7 <= text.count && text[offset + 1] & 0xF0 == 0x40 && text[offset + 2] & 0xC7 == 0x05,
                0x8B where offset + 6 <= text.count && text[offset + 1] & 0xC7 == 0x05:
                let slot = target(offset + (byte == 0x0F ? 3 : 2))
                if slots.contains(slot), isSlot(slot) { found.loads.append(.init(source: address, target: slot)) }
            case 0x8D where offset + 6 <= text.count && text[offset + 1] & 0xC7 == 0x05:
                let place = target(offset + 2)
                if code.contains(place), isStart(place) { found.addresses.append(.init(source: address, target: place)) }
            case 0xFF where offset + 6 <= text.count && (text[offset + 1] == 0x25 || text[offset + 1] == 0x35):
                let slot = target(offset + 2)
                guard slots.contains(slot) else { continue }
                if text[offset + 1] == 0x25 {
                    found.throughSlots.append(.init(source: address, target: slot))
                } else if isSlot(slot) {
                    found.loads.append(.init(source: address, target: slot))
                }
            default: break
            }
        }
    }

    /// The two bytes that such an instruction may begin with, as one number: a look at them passes over nearly all code.
    private static let openings = Openings { first, second in
        switch first {
        case 0xE9: true
        case 0x0F: second & 0xF0 == 0x80 || second & 0xF0 == 0x40
        case 0x8B, 0x8D: second & 0xC7 == 0x05
        case 0xFF: second == 0x25 || second == 0x35
        default: false
        }
    }

    /// A bit for each pair of bytes.
    private struct Openings: Sendable {
        private var words = [UInt64](repeating: 0, count: 1024)

        init(_ isOpening: (_ first: UInt8, _ second: UInt8) -> Bool) {
            for number in 0..<65536 where isOpening(UInt8(number & 0xFF), UInt8(number >> 8)) { words[number >> 6] |= 1 << UInt64(number & 63) }
        }

        @inline(__always)
        func contains(_ number: UInt16) -> Bool { words[Int(number >> 6)] & 1 << UInt64(number & 63) != 0 }
    }

    @inline(__always)
    private static func noteJump(
        _ found: inout LeavingJumps, _ source: UInt64, _ target: UInt64, _ code: Range<UInt64>, _ current: inout Range<UInt64>,
        _ range: (UInt64) -> Range<UInt64>
    ) {
        guard code.contains(target), !current.contains(target) || !current.contains(source) else { return }
        if !current.contains(source) { current = range(source) }
        if !current.contains(target) { found.direct.append(.init(source: source, target: target)) }
    }

    // MARK: - A closer look

    /// Whether an instruction may have its opcode at an address of `text`.
    package static func isPlausible(_ address: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> Bool {
        var starts = [address]
        let offset = Int(truncatingIfNeeded: address &- base)
        // A prefix before it: REX, bnd, notrack and branch hints.
        if offset > 0, [0xF2, 0x3E, 0x2E].contains(text[offset - 1]) || text[offset - 1] & 0xF0 == 0x40 { starts.append(address - 1) }
        let hits = starts.map { CodeBranch(address: $0, target: 0, isCall: false) }
        return !plausible(hits, in: text, base: base).isEmpty
    }

    /// The short jumps to `target`.
    package static func shortJumps(to target: UInt64, in text: UnsafeRawBufferPointer, base: UInt64) -> [UInt64] {
        shortBranches(in: text, base: base, into: target..<target + 1, except: []).map(\.address)
    }

    /// Whether an instruction starts there when the function is read from its start, as far as it can be read.
    package static func isInstruction(
        _ address: UInt64, of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64
    ) -> Bool {
        let reader = X86_64InstructionReader(text)
        var place = max(function.lowerBound, base)
        while place < address {
            guard let size = reader.size(at: Int(truncatingIfNeeded: place &- base)) else { return true }
            place += UInt64(size)
        }
        return place == address
    }

    /// Reads a function from its start to its end.
    package static func shape(of function: Range<UInt64>, in text: UnsafeRawBufferPointer, base: UInt64) -> LeavingJumps.Shape {
        let reader = X86_64InstructionReader(text)
        var shape = LeavingJumps.Shape()
        /// Registers that something was just added to: a jump there goes to one of a table.
        var added: [UInt8] = []
        var address = function.lowerBound
        while address < function.upperBound {
            // Behind the end of code, zeros are what fills up a section.
            let offset = Int(truncatingIfNeeded: address &- base)
            if !shape.runsOn, offset >= 0, offset + 1 < text.count, text[offset] == 0, text[offset + 1] == 0 { break }
            guard let instruction = reader.instruction(at: Int(truncatingIfNeeded: address &- base)) else {
                shape.runsOn = false
                address += 1
                continue
            }
            address += UInt64(instruction.size)
            let isPlain = !instruction.isVector
            if instruction.table == .one, isPlain, instruction.modRM >= 0xC0, instruction.opcode == 0x01 || instruction.opcode == 0x03 {
                added.append(instruction.opcode == 0x01 ? instruction.registerOperand : instruction.register)
            } else {
                added.append(.max)
            }
            if added.count > 8 { added.removeFirst() }
            if instruction.table == .one, isPlain, instruction.opcode == 0xC2 || instruction.opcode == 0xC3 { shape.returns = true }
            switch (instruction.table, instruction.opcode) {
            case (.one, 0xE9) where isPlain, (.one, 0xEB) where isPlain:
                shape.jumps.append(address &+ UInt64(bitPattern: Int64(instruction.immediate)))
                shape.runsOn = false
            case (.one, 0xFF) where isPlain:
                let operation = instruction.modRM >> 3 & 7
                if operation == 4, instruction.modRM >= 0xC0, !added.contains(instruction.registerOperand) { shape.jumpsThroughRegister = true }
                shape.runsOn = operation != 4 && operation != 2
            case (.one, 0xC2), (.one, 0xC3), (.one, 0xCC), (.one, 0xF4), (.twoByte, 0x0B),
                // A call at the end is of a function that never returns.
                (.one, 0xE8):
                shape.runsOn = false
            case (.one, 0x90), (.twoByte, 0x1F): break
            default: shape.runsOn = true
            }
        }
        return shape
    }
}
