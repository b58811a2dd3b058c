#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What the registers and stacks of the path that is being walked hold. There is one copy of it: as long as other paths
/// wait, what is overwritten is noted, and ``returnTo(_:)`` brings back what one of them started with. A branch costs
/// nothing that way but what its two paths change.
///
/// The memory is this type's own; places are checked where they are made (``ValuePlace``), and here again.
struct PathValues: ~Copyable {
    private static let frameStride = ValuePlace.frameStride
    private static let count = PathState.frameLimit * ValuePlace.frameStride

    private let values: UnsafeMutablePointer<RegisterState>
    /// ``RegisterState/id`` of each place once more, close together: they are searched often.
    private let ids: UnsafeMutablePointer<UInt32>
    /// The bytes of stack slots, 64 for each frame.
    private let bytes: UnsafeMutablePointer<UInt64>
    /// Stack slots of each frame that have been used, from the first one.
    private let slotCounts: UnsafeMutablePointer<UInt8>

    /// The frames below the running one.
    private let callers: UnsafeMutablePointer<PathState.CallerFrame>

    /// Something has been spilled to the upper half of a slot.
    private var usesUpperHalves = false

    // What was overwritten since a path was put aside, in the order of time.
    private var changes = GrowingBuffer<UInt32>()
    private var oldValues = GrowingBuffer<RegisterState>()
    private var oldNumbers = GrowingBuffer<UInt64>()
    private var oldCallers = GrowingBuffer<PathState.CallerFrame>(capacity: 8)
    private var isNoting = false
    /// What has been noted since the youngest waiting path need not be noted again.
    private let notedIn: UnsafeMutablePointer<UInt32>
    private var epoch: UInt32 = 0

    private enum Noted {
        static let value: UInt32 = 0 << 16
        static let origin: UInt32 = 1 << 16
        static let bytes: UInt32 = 2 << 16
        static let slotCount: UInt32 = 3 << 16
        static let caller: UInt32 = 4 << 16
    }

    init() {
        func allocate<Element>(_: Element.Type, _ count: Int) -> UnsafeMutablePointer<Element> {
            // Zeros are registers without a value, and stack slots that nobody has written.
            guard let memory = calloc(count, MemoryLayout<Element>.stride) else { fatalError("out of memory") }
            return memory.bindMemory(to: Element.self, capacity: count)
        }
        values = allocate(RegisterState.self, Self.count)
        ids = allocate(UInt32.self, Self.count)
        bytes = allocate(UInt64.self, PathState.frameLimit * 64)
        slotCounts = allocate(UInt8.self, PathState.frameLimit)
        notedIn = allocate(UInt32.self, Self.count)
        callers = allocate(PathState.CallerFrame.self, PathState.frameLimit)
    }

    deinit {
        free(values)
        free(ids)
        free(bytes)
        free(slotCounts)
        free(notedIn)
        free(callers)
    }

    /// Bytes that it takes.
    var memory: Int {
        changes.memory + oldValues.memory + oldNumbers.memory + oldCallers.memory
    }

    // MARK: - Reading

    /// The register of a frame.
    subscript(register: Int, frame: Int) -> RegisterState {
        @inline(__always) get {
            precondition(register < 11 && frame < PathState.frameLimit)
            return values[frame * Self.frameStride + register]
        }
        @inline(__always) set {
            precondition(register < 11 && frame < PathState.frameLimit)
            set(frame * Self.frameStride + register, newValue)
        }
    }

    /// A register, or what is spilled at a place: only of meaning if the slot's bytes say that something is.
    subscript(place: ValuePlace) -> RegisterState {
        @inline(__always) get { values[Int(place.location)] }
        @inline(__always) set { set(Int(place.location), newValue) }
    }

    /// The same, where it is.
    @inline(__always)
    func pointer(to place: ValuePlace) -> UnsafePointer<RegisterState> { UnsafePointer(values + Int(place.location)) }

    func slotCount(ofFrame frame: Int) -> Int {
        precondition(frame < PathState.frameLimit)
        return Int(slotCounts[frame])
    }

    /// What each of the eight bytes is, see ``StackSlot``.
    @inline(__always)
    func slotBytes(_ index: Int, frame: Int) -> UInt64 {
        precondition(index < 64 && frame < PathState.frameLimit)
        return index < Int(slotCounts[frame]) ? bytes[frame * 64 + index] : 0
    }

    func stackSlot(_ index: Int, frame: Int) -> StackSlot {
        let bytes = slotBytes(index, frame: frame)
        var slot = StackSlot(bytes: bytes)
        if slot.isSpill { slot.register = self[.stack(index, frame: frame)] }
        if slot.hasHighSpill { slot.high = self[.stack(index, frame: frame, high: true)] }
        return slot
    }

    /// The frame, which waits for one that it called.
    func caller(_ frame: Int) -> PathState.CallerFrame {
        precondition(frame < PathState.frameLimit)
        return callers[frame]
    }

    /// Callbacks and `may_goto` go round and round: their states are compared before all is known of them.
    func isInLoop(_ state: PathState) -> Bool {
        if state.mayGotoDepth > 0 { return true }
        for frame in 0..<state.depth where caller(frame).isCallback { return true }
        return false
    }

    // MARK: - Writing

    mutating func setCaller(_ frame: Int, _ caller: PathState.CallerFrame) {
        precondition(frame < PathState.frameLimit)
        if isNoting {
            changes.append(Noted.caller | UInt32(frame))
            oldCallers.append(callers[frame])
        }
        callers[frame] = caller
    }

    mutating func setStackSlot(_ index: Int, frame: Int, _ slot: StackSlot) {
        setBytes(index, frame: frame, slot.bytes)
        if slot.isSpill { self[.stack(index, frame: frame)] = slot.register }
        if slot.hasHighSpill {
            usesUpperHalves = true
            self[.stack(index, frame: frame, high: true)] = slot.high
        }
    }

    /// A register takes the slot.
    @inline(__always)
    mutating func spill(_ register: RegisterState, to index: Int, frame: Int) {
        setBytes(index, frame: frame, StackSlot.wholeSpill)
        self[.stack(index, frame: frame)] = register
    }

    mutating func setBytes(_ index: Int, frame: Int, _ kinds: UInt64) {
        precondition(index < 64 && frame < PathState.frameLimit)
        let count = Int(slotCounts[frame])
        if index >= count {
            note(Noted.slotCount | UInt32(frame), number: UInt64(count))
            for empty in count..<index { writeBytes(frame * 64 + empty, 0) }
            slotCounts[frame] = UInt8(index + 1)
        }
        writeBytes(frame * 64 + index, kinds)
    }

    private mutating func writeBytes(_ index: Int, _ kinds: UInt64) {
        if bytes[index] == kinds { return }
        note(Noted.bytes | UInt32(index), number: bytes[index])
        bytes[index] = kinds
    }

    mutating func setOrigin(_ place: ValuePlace, _ origin: PrecisionGraph.Node) {
        let location = Int(place.location)
        if isNoting, notedIn[location] != epoch {
            note(Noted.origin | UInt32(location), number: UInt64(values[location].origin))
        }
        values[location].origin = origin
    }

    /// The value at a place gets a number.
    mutating func setID(_ place: ValuePlace, _ id: UInt32) {
        let location = Int(place.location)
        if isNoting, notedIn[location] != epoch { noteValue(location) }
        values[location].id = id
        ids[location] = id
    }

    @inline(__always)
    private mutating func set(_ location: Int, _ value: RegisterState) {
        if isNoting, notedIn[location] != epoch { noteValue(location) }
        values[location] = value
        ids[location] = value.id
    }

    /// A new frame: no register has a value, nothing is on its stack.
    mutating func clear(frame: Int) {
        precondition(frame < PathState.frameLimit)
        for register in 0..<11 { self[register, frame] = RegisterState() }
        if slotCounts[frame] != 0 {
            note(Noted.slotCount | UInt32(frame), number: UInt64(slotCounts[frame]))
            slotCounts[frame] = 0
        }
    }

    // MARK: - Looking for values

    /// May change a value that was looked for; tells whether it has.
    typealias Change = (inout RegisterState, inout PrecisionGraph) -> Bool

    /// Goes over the values with that number, in registers and on stacks of the frames up to `depth`.
    mutating func update(id: UInt32, depth: Int, _ graph: inout PrecisionGraph, _ change: Change) {
        update(depth, &graph, change) { ids, _, location in ids[location] == id }
    }

    /// The same for those of a reference.
    mutating func update(reference: UInt32, depth: Int, _ graph: inout PrecisionGraph, _ change: Change) {
        update(depth, &graph, change) { _, values, location in values[location].reference == reference }
    }

    @inline(__always)
    private mutating func update(
        _ depth: Int, _ graph: inout PrecisionGraph, _ change: Change,
        where isWanted: (UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<RegisterState>, Int) -> Bool
    ) {
        precondition(depth < PathState.frameLimit)
        for frame in 0...depth {
            let base = frame * Self.frameStride
            for location in base..<base + 11 where isWanted(ids, values, location) {
                var value = values[location]
                if change(&value, &graph) { set(location, value) }
            }
            for index in 0..<Int(slotCounts[frame]) {
                if isWanted(ids, values, base + 16 + index) {
                    update(index, frame, base + 16 + index, StackSlot.spilled, at: 0, &graph, change)
                }
                if usesUpperHalves, isWanted(ids, values, base + 80 + index) {
                    update(index, frame, base + 80 + index, StackSlot.spilledHigh, at: 4, &graph, change)
                }
            }
        }
    }

    private mutating func update(
        _ index: Int, _ frame: Int, _ location: Int, _ kind: UInt8, at byte: Int, _ graph: inout PrecisionGraph,
        _ change: Change
    ) {
        guard UInt8(truncatingIfNeeded: bytes[frame * 64 + index] >> UInt64(byte * 8)) == kind else { return }
        var value = values[location]
        guard change(&value, &graph) else { return }
        set(location, value)
        // What is gone leaves bytes that nobody may read.
        if value.kind == .uninitialized { writeBytes(frame * 64 + index, 0) }
    }

    // MARK: - Other paths

    /// What a waiting path will return to.
    struct Position {
        fileprivate var count: Int
    }

    /// A path is put aside as it is now.
    mutating func putAside() -> Position {
        isNoting = true
        epoch &+= 1
        return Position(count: changes.count)
    }

    /// Brings back what was there when the youngest of the paths was put aside; `isLast`: no other waits any more.
    mutating func returnTo(_ position: Position, isLast: Bool) {
        while changes.count > position.count, let change = changes.popLast() {
            let index = Int(change & 0xffff)
            switch change & ~0xffff {
            case Noted.value:
                guard let value = oldValues.popLast() else { break }
                values[index] = value
                ids[index] = value.id
            case Noted.origin: values[index].origin = PrecisionGraph.Node(truncatingIfNeeded: oldNumbers.popLast() ?? 0)
            case Noted.bytes: bytes[index] = oldNumbers.popLast() ?? 0
            case Noted.caller: callers[index] = oldCallers.popLast() ?? PathState.CallerFrame()
            default: slotCounts[index] = UInt8(truncatingIfNeeded: oldNumbers.popLast() ?? 0)
            }
        }
        epoch &+= 1
        isNoting = !isLast
    }

    @inline(never)
    private mutating func noteValue(_ location: Int) {
        changes.append(Noted.value | UInt32(truncatingIfNeeded: location))
        oldValues.append(values[location])
        notedIn[location] = epoch
    }

    @inline(__always)
    private mutating func note(_ change: UInt32, number: UInt64) {
        guard isNoting else { return }
        changes.append(change)
        oldNumbers.append(number)
    }
}
