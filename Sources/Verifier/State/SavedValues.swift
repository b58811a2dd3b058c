/// What a saved state holds: registers and spilled registers, and the bytes of stack slots. It lies in one piece of
/// memory, which ``SavedStates`` owns.
struct SavedValues {
    /// A register, or one that is spilled.
    struct Value: BitwiseCopyable {
        var register: RegisterState
        var place: ValuePlace
        /// Spilled to the lower half of its slot only.
        var isHalf = false
    }

    /// What each byte of a stack slot is, see ``StackSlot``.
    struct Slot: BitwiseCopyable {
        var bytes: UInt64
        var place: ValuePlace
    }

    let values: UnsafeMutableBufferPointer<Value>
    let slots: UnsafeMutableBufferPointer<Slot>
    private let block: UnsafeMutableRawPointer

    /// Copies what was collected.
    init(_ values: borrowing GrowingBuffer<Value>, _ slots: borrowing GrowingBuffer<Slot>) {
        let valueBytes = values.count * MemoryLayout<Value>.stride
        let slotBytes = slots.count * MemoryLayout<Slot>.stride
        block = .allocate(byteCount: valueBytes + slotBytes, alignment: MemoryLayout<Value>.alignment)
        self.values = UnsafeMutableBufferPointer(
            start: block.bindMemory(to: Value.self, capacity: values.count), count: values.count)
        self.slots = UnsafeMutableBufferPointer(
            start: (block + valueBytes).bindMemory(to: Slot.self, capacity: slots.count), count: slots.count)
        _ = self.values.initialize(from: values.contents)
        _ = self.slots.initialize(from: slots.contents)
    }

    func deallocate() { block.deallocate() }

    /// Bytes that it takes.
    var memory: Int { values.count * MemoryLayout<Value>.stride + slots.count * MemoryLayout<Slot>.stride }

    /// A value by its number.
    func pointer(_ index: Int) -> UnsafePointer<Value>? {
        guard index < values.count, let start = values.baseAddress else { return nil }
        return UnsafePointer(start + index)
    }

    /// See ``Fingerprint``: the same for the same values.
    var fingerprint: UInt64 {
        var (bytes, registers) = (Fingerprint(), Fingerprint())
        for slot in slots { bytes.add(slot.bytes) }
        for index in values.indices { registers.add(values[index].register) }
        return bytes.hash ^ registers.hash &* 31
    }
}

/// Differs between states that are not identical, but for chance.
struct Fingerprint {
    private(set) var hash: UInt64 = 0

    @inline(__always)
    mutating func add(_ number: UInt64) {
        hash = (hash ^ number) &* 0x9e37_79b9_7f4a_7c15
        hash ^= hash >> 32
    }

    @inline(__always)
    mutating func add(_ register: RegisterState) {
        add(register.value.bits.value ^ UInt64(register.kind.rawValue) << 56)
        add(register.value.bits.mask ^ register.value.minimum)
        add(register.value.maximum)
    }
}
