/// What is known of a register, or of a value that was spilled to the stack.
package struct RegisterState: Hashable, Sendable, BitwiseCopyable {
    package var kind = Kind.uninitialized
    /// A pointer that may be null (`PTR_MAYBE_NULL`); it may only be compared with 0.
    package var isNullable = false
    /// Memory that must not be written.
    package var isReadOnly = false
    /// Memory that a ring buffer gave out.
    package var isRecord = false
    /// Frames from the program's own up, for `frame`.
    package var frame: UInt8 = 0
    /// Of a map, a function (its first slot).
    package var index: Int32 = 0
    /// Bytes of the memory pointed to.
    package var size: Int32 = 0
    /// The same number: the same value (scalars, but for their deltas), or the same answer to "is it null?".
    package var id: UInt32 = 0
    /// Of a linked scalar: how much it is more than the others of its id.
    package var delta: Int32 = 0
    /// The resource that this is, to be released; 0 for none.
    package var reference: UInt32 = 0
    /// Where the value came from, see ``PrecisionGraph``.
    var origin = PrecisionGraph.nowhere
    /// The number, or the offset that was added to the pointer.
    package var value = Scalar(0)

    package enum Kind: UInt8, Sendable, BitwiseCopyable {
        case uninitialized
        case scalar
        /// `PTR_TO_CTX`
        case context
        /// `PTR_TO_STACK`: offsets are from the frame's end, r10.
        case frame
        /// `CONST_PTR_TO_MAP`
        case map
        /// `PTR_TO_MAP_VALUE`
        case mapValue
        /// `PTR_TO_MAP_KEY`, in callbacks.
        case mapKey
        /// `PTR_TO_MEM`
        case memory
        /// `PTR_TO_FUNC`
        case function
    }

    init() {}

    init(kind: Kind, index: Int32 = 0, size: Int32 = 0) {
        self.kind = kind
        self.index = index
        self.size = size
    }

    init(_ value: Scalar, origin: PrecisionGraph.Node = PrecisionGraph.nowhere) {
        kind = .scalar
        self.value = value
        self.origin = origin
    }

    package static let unknown = RegisterState(Scalar.unknown)
    static func constant(_ value: UInt64) -> RegisterState { RegisterState(Scalar(value)) }

    var isPointer: Bool { kind.rawValue > Kind.scalar.rawValue }
    var isScalar: Bool { kind == .scalar }
    var isConstantZero: Bool { kind == .scalar && value.bits == KnownBits(0) }

    /// The pointer's offset, where it is known.
    var fixedOffset: Int64? { value.constant.map { Int64(bitPattern: $0) } }

    /// All but where it came from.
    func isSame(as other: RegisterState) -> Bool {
        var one = self
        one.origin = other.origin
        return one == other
    }
}
