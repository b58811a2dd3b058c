/// Machine registers by the number that instructions carry.
package struct RegisterSet: Sendable, Hashable {
    private var bits: UInt32

    private init(bits: UInt32) { self.bits = bits }

    init(numbers: some Sequence<UInt32>) { bits = numbers.reduce(0) { $0 | 1 << $1 } }

    package static let all = RegisterSet(bits: .max)

    func contains(number: UInt32) -> Bool { bits & 1 << number != 0 }

    mutating func insert(number: UInt32) { bits |= 1 << number }

    package func union(_ other: RegisterSet) -> RegisterSet { RegisterSet(bits: bits | other.bits) }
}
