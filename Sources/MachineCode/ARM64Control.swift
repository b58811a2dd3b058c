/// Branches, addresses and what concerns the processor.
extension ARM64Assembler {
    // MARK: Branches

    /// `b`: 128 MiB in both directions.
    package mutating func b(_ label: ARM64Label) { emit(0x1400_0000, .branch26, .label(label.index)) }

    /// `b` to a fixed address.
    package mutating func b(address: UInt64) { emit(0x1400_0000, .branch26, .address(address)) }

    /// `bl`
    package mutating func bl(_ label: ARM64Label) { emit(0x9400_0000, .branch26, .label(label.index)) }

    /// `bl` of a fixed address.
    package mutating func bl(address: UInt64) { emit(0x9400_0000, .branch26, .address(address)) }

    /// `b.cond`: a mebibyte in both directions.
    package mutating func b(_ condition: ARM64Condition, _ label: ARM64Label) {
        emit(0x5400_0000 | UInt32(condition.rawValue), .branch19, .label(label.index))
    }

    /// `cbz`, or `cbnz`: a mebibyte.
    package mutating func cb(
        zero: Bool, _ register: ARM64Register, _ label: ARM64Label, _ width: ARM64Width = .doubleword
    ) {
        emit((zero ? 0x3400_0000 : 0x3500_0000) | width.size | register.number, .branch19, .label(label.index))
    }

    /// `tbz`, or `tbnz`: 32 KiB.
    package mutating func tb(zero: Bool, _ register: ARM64Register, bit: UInt8, _ label: ARM64Label) {
        precondition(bit < 64)
        emit(
            (zero ? 0x3600_0000 : 0x3700_0000) | UInt32(bit >> 5) << 31 | UInt32(bit & 31) << 19 | register.number,
            .branch14, .label(label.index))
    }

    /// `br`
    package mutating func br(_ target: ARM64Register) { emit(0xd61f_0000 | target.number << 5) }

    /// `blr`
    package mutating func blr(_ target: ARM64Register) { emit(0xd63f_0000 | target.number << 5) }

    /// `ret`
    package mutating func ret() { emit(0xd65f_03c0) }

    // MARK: Addresses

    /// `adr`: a mebibyte in both directions.
    package mutating func adr(_ destination: ARM64Register, _ label: ARM64Label) {
        emit(0x1000_0000 | destination.number, .relative21, .label(label.index))
    }

    /// `adrp` and `add`: an address within 4 GiB.
    package mutating func address(_ destination: ARM64Register, of address: UInt64) {
        emit(0x9000_0000 | destination.number, .page21, .address(address))
        emit(0x9100_0000 | destination.number << 5 | destination.number, .low12, .address(address))
    }

    /// The same for a label.
    package mutating func address(_ destination: ARM64Register, of label: ARM64Label) {
        emit(0x9000_0000 | destination.number, .page21, .label(label.index))
        emit(0x9100_0000 | destination.number << 5 | destination.number, .low12, .label(label.index))
    }

    // MARK: The processor

    /// `nop`
    package mutating func nop() { emit(0xd503_201f) }

    /// `bti`: a place to branch to, in a guarded page; elsewhere it does nothing.
    package mutating func bti(_ by: ARM64BranchTarget) { emit(0xd503_201f | by.rawValue << 5) }

    /// `paciasp`: signs the return address, where the processor and the process do that.
    package mutating func paciasp() { emit(0xd503_233f) }

    /// `autiasp`: undoes `paciasp`.
    package mutating func autiasp() { emit(0xd503_23bf) }

    /// `autibsp`: undoes `pacibsp`, which signs with the other key.
    package mutating func autibsp() { emit(0xd503_23ff) }

    /// `mrs`
    package mutating func mrs(_ destination: ARM64Register, _ source: ARM64SystemRegister) {
        emit(0xd520_0000 | source.rawValue << 5 | destination.number)
    }

    /// `msr`
    package mutating func msr(_ destination: ARM64SystemRegister, _ source: ARM64Register) {
        emit(0xd500_0000 | destination.rawValue << 5 | source.number)
    }

    /// `dmb`
    package mutating func dmb(_ barrier: ARM64Barrier) { emit(0xd503_30bf | barrier.rawValue << 8) }

    /// `isb`
    package mutating func isb() { emit(0xd503_3fdf) }

    /// `svc #0`
    package mutating func svc() { emit(0xd400_0001) }

    /// `brk`
    package mutating func brk(_ number: UInt16 = 0) { emit(0xd420_0000 | UInt32(number) << 5) }
}
