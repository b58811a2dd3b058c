import BPF
import TestSupport

extension SeededGenerator {
    mutating func chance() -> Bool { next() & 1 == 0 }
    mutating func int16() -> Int16 { Int16(truncatingIfNeeded: next()) }
    mutating func int32() -> Int32 {
        pick([0, 1, -1, .min, .max, Int32(truncatingIfNeeded: next()), Int32(truncatingIfNeeded: next())])
    }
    mutating func writable() -> Register { Register(rawValue: UInt8(next() % 10)) }
    mutating func register() -> Register { Register(rawValue: UInt8(next() % 11)) }
    mutating func width() -> Width { pick(Width.allCases) }
    mutating func operand() -> Operand { chance() ? .register(register()) : .immediate(int32()) }

    /// Any valid operation, fields at random; `kind` runs over the cases.
    mutating func operation(kind: Int) -> Operation {
        switch kind % 13 {
        case 0: return .arithmetic(pick(ArithmeticOperation.allCases), width(), writable(), operand())
        case 1: return .negate(width(), writable())
        case 2: return .move(width(), writable(), operand())
        case 3:
            let width = width()
            return .moveSigned(width, writable(), register(), from: pick(width == .bits64 ? [8, 16, 32] : [8, 16]))
        case 4: return .byteOrder(pick(ByteOrder.allCases), bits: pick([16, 32, 64]), writable())
        case 5:
            let kind = pick(WideImmediate.allCases)
            let hasSecond = kind == .value || kind == .mapDescriptorValue || kind == .mapValue
            return .loadImmediate(kind, writable(), first: int32(), second: hasSecond ? int32() : 0)
        case 6: return .load(pick(MemoryType.allCases), writable(), base: register(), offset: int16())
        case 7: return .store(pick([.u8, .u16, .u32, .u64]), base: register(), offset: int16(), operand())
        case 8: return .atomic(pick(AtomicOperation.allCases), width(), base: register(), offset: int16(), writable())
        case 9: return chance() ? .jump(Int32(int16()), long: false) : .jump(int32(), long: true)
        case 10: return .branch(pick(Condition.allCases), width(), register(), operand(), int16())
        case 11:
            switch next() % 4 {
            case 0: return .call(.subprogram(int32()))
            case 1: return .call(.external(int32()))
            case 2: return .call(.helper(UInt32(next() % 215)))
            default: return .call(.helper(UInt32(bitPattern: int32())))
            }
        default: return .exit
        }
    }
}
