/// Machine registers by the number that instructions carry.
package struct RegisterSet: Sendable, Hashable {
    private var bits: UInt32

    private init(bits: UInt32) { self.bits = bits }

    package init(_ registers: some Sequence<X86_64Register>) {
        bits = registers.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
    }

    package init(_ registers: some Sequence<ARM64Register>) {
        bits = registers.reduce(0) { $0 | 1 << $1.number }
    }

    package static let all = RegisterSet(bits: .max)

    package func contains(_ register: X86_64Register) -> Bool { bits & 1 << UInt32(register.rawValue) != 0 }

    package func contains(_ register: ARM64Register) -> Bool { bits & 1 << register.number != 0 }

    package mutating func insert(_ register: X86_64Register) { bits |= 1 << UInt32(register.rawValue) }

    package mutating func insert(_ register: ARM64Register) { bits |= 1 << register.number }

    package func union(_ other: RegisterSet) -> RegisterSet { RegisterSet(bits: bits | other.bits) }
}
