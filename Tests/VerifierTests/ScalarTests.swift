import BPF
import TestSupport
import Testing
import Verifier

/// What is known of numbers, and what operations make of it.
@Suite("Numbers")
struct ScalarTests {
    /// Bounds as branches leave them, some of which contradict each other: no number is within all of them.
    private static func scalar(_ generator: inout SeededGenerator) -> Scalar {
        var scalar = generator.chance(20) ? Scalar(UInt64(bitPattern: Int64(generator.immediate()))) : .unknown
        if generator.chance(30) { scalar.minimum = generator.number() }
        if generator.chance(30) { scalar.maximum = generator.number() }
        if generator.chance(30) { scalar.signedMinimum = Int64(bitPattern: generator.number()) }
        if generator.chance(30) { scalar.signedMaximum = Int64(bitPattern: generator.number()) }
        if generator.chance(30) { scalar.minimum32 = UInt32(bitPattern: generator.immediate()) }
        if generator.chance(30) { scalar.maximum32 = UInt32(bitPattern: generator.immediate()) }
        if generator.chance(30) { scalar.signedMinimum32 = generator.immediate() }
        if generator.chance(30) { scalar.signedMaximum32 = generator.immediate() }
        return scalar
    }

    @Test("operations on numbers that cannot be end nothing; on those that can they contain every result", arguments: ArithmeticOperation.allCases)
    func operations(_ operation: ArithmeticOperation) {
        var generator = SeededGenerator(seed: 1)
        var contained = 0
        for _ in 0..<20_000 {
            let left = Self.scalar(&generator)
            let right = Self.scalar(&generator)
            for width in [Width.bits64, .bits32] {
                let result = Scalar.apply(operation, width, left, right)
                for number in [left.minimum, left.maximum, UInt64(bitPattern: left.signedMinimum)] where left.contains(number) {
                    for other in [right.minimum, right.maximum, UInt64(bitPattern: right.signedMinimum)] where right.contains(other) {
                        let exact = Scalar.apply(operation, width, Scalar(number), Scalar(other))
                        guard let value = exact.constant else { continue }
                        contained += 1
                        if !result.contains(value) {
                            Issue.record("\(operation) \(width): \(number), \(other) gives \(value), which is not in \(result)")
                            return
                        }
                    }
                }
            }
        }
        #expect(contained > 1000)
    }
}
