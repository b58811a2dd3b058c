import MachineCode

/// Counting a call.
extension X86_64ImageBuilder {
    /// A place where an image counts, whose slow path is still to be written, behind the rest.
    struct Count {
        var isReturn: Bool
        var lanes: CallCounters.Lanes
        var slowPath: X86_64Label
        var counted: X86_64Label
    }

    /// Increments the counter of calls entered, or of those that returned; rax, r10 and r11 are free.
    mutating func count(isReturn: Bool) {
        guard let lanes else {
            if isNear(sample.counters) {
                assembler.inc(.label(counter, isReturn ? 8 : 0), isLocked: true)
            } else {
                assembler.mov64(.rax, addressOf: counter)
                assembler.inc(.at(.rax, isReturn ? 8 : 0), isLocked: true)
            }
            return
        }
        let count = Count(
            isReturn: isReturn, lanes: lanes, slowPath: assembler.makeLabel(), counted: assembler.makeLabel())
        // owner = thread block + (megabyte of the stack << 37) + 1
        assembler.mov(.rax, .absolute(0, segment: .fs))
        assembler.mov(.r10, .rbp)
        assembler.shift(.shr, .r10, by: 20)
        assembler.lea(.r11, .at(.rax, index: .r10, scale: 8), .dword)
        assembler.shift(.shl, .r10, by: 37)
        assembler.lea(.rax, .at(.rax, index: .r10, scale: 1, 1))
        // Its first place: a place has 16 bytes.
        assembler.imul(.r11, .r11, immediate: Int32(bitPattern: 0x9E37_79B1), .dword)
        assembler.shift(.shr, .r11, by: 32 - CallCounters.Lanes.ownerBits, .dword)
        assembler.shift(.shl, .r11, by: 4, .dword)
        load(.r10, lanes.owners)
        assembler.alu(.cmp, .rax, .at(.r10, index: .r11, scale: 1))
        assembler.jcc(.notEqual, count.slowPath)
        assembler.mov(.rax, .at(.r10, index: .r11, scale: 1, 8))
        loadCounter(isReturn: isReturn)
        assembler.inc(.at(.r10, index: .rax, scale: 1))
        assembler.bind(count.counted)
        counts.append(count)
    }

    /// Writes what is seldom needed.
    mutating func finishCounts() {
        for count in counts {
            assembler.bind(count.slowPath)
            loadCounter(isReturn: count.isReturn)
            load(.r11, count.lanes.state)
            call(count.lanes.slowPath)
            assembler.jmp(count.counted)
        }
    }

    /// The address of a counter to r10.
    private mutating func loadCounter(isReturn: Bool) {
        if isNear(sample.counters) {
            assembler.lea(.r10, .label(counter, isReturn ? 8 : 0))
        } else {
            assembler.mov64(.r10, addressOf: counter)
            if isReturn { assembler.lea(.r10, .at(.r10, 8)) }
        }
    }

    private mutating func load(_ register: X86_64Register, _ value: UInt64) {
        if isNear(value) { assembler.lea(register, .address(value)) } else { assembler.mov64(register, value) }
    }

    /// Whether rip-relative operands anywhere in the image reach `target`.
    private func isNear(_ target: UInt64) -> Bool {
        Int64(bitPattern: target &- address).magnitude < 0x7000_0000
    }
}
