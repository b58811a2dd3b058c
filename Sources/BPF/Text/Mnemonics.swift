/// The operators and words of the kernel log's syntax, used by disassembler and assembler alike.
extension ArithmeticOperation {
    var sign: String {
        switch self {
        case .add: "+="
        case .subtract: "-="
        case .multiply: "*="
        case .divide: "/="
        case .divideSigned: "s/="
        case .or: "|="
        case .and: "&="
        case .shiftLeft: "<<="
        case .shiftRight: ">>="
        case .modulo: "%="
        case .moduloSigned: "s%="
        case .xor: "^="
        case .shiftRightArithmetic: "s>>="
        }
    }
}

extension Condition {
    var sign: String {
        switch self {
        case .equal: "=="
        case .greater: ">"
        case .greaterOrEqual: ">="
        case .anyBitSet: "&"
        case .notEqual: "!="
        case .signedGreater: "s>"
        case .signedGreaterOrEqual: "s>="
        case .less: "<"
        case .lessOrEqual: "<="
        case .signedLess: "s<"
        case .signedLessOrEqual: "s<="
        }
    }
}

extension MemoryType {
    var word: String {
        switch self {
        case .u8: "u8"
        case .u16: "u16"
        case .u32: "u32"
        case .u64: "u64"
        case .s8: "s8"
        case .s16: "s16"
        case .s32: "s32"
        }
    }
}

extension ByteOrder {
    var word: String {
        switch self {
        case .toLittle: "le"
        case .toBig: "be"
        case .swap: "bswap"
        }
    }
}

extension AtomicOperation {
    /// `fetch_add` of `atomic64_fetch_add`; `nil` for those that are written with an operator.
    var word: String? {
        switch self {
        case .add, .or, .and, .xor: nil
        case .fetchAdd: "fetch_add"
        case .fetchOr: "fetch_or"
        case .fetchAnd: "fetch_and"
        case .fetchXor: "fetch_xor"
        case .exchange: "xchg"
        case .compareExchange: "cmpxchg"
        }
    }

    var sign: String? {
        switch self {
        case .add: "+="
        case .or: "|="
        case .and: "&="
        case .xor: "^="
        default: nil
        }
    }
}

extension Width {
    /// `atomic64_` or `atomic_`
    var atomicPrefix: String { self == .bits64 ? "atomic64_" : "atomic_" }
    var memoryType: MemoryType { self == .bits64 ? .u64 : .u32 }
    /// The letter of a register of this width.
    var letter: String { self == .bits64 ? "r" : "w" }
}
