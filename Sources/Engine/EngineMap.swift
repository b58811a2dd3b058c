import BPF
import Glibc

/// A map of an engine, from the controller's side.
package protocol EngineMap: Sendable {
    var definition: MapDefinition { get }
    /// How many values an element has: more than one in per-CPU maps.
    var valueCount: Int { get }
    /// Updates and records that found no room.
    var dropped: UInt64 { get }
    /// The keys there are now, at most `max_entries`.
    func keys() -> [[UInt8]]

    // What an engine does with keys and elements of the right size; `read`, `write` and `delete` have checked it.

    /// Fills `element`, if there is one at `key`; 0 or -errno.
    func lookUp(_ key: [UInt8], _ element: inout [UInt8]) -> Int32
    /// 0 or -errno
    func update(_ key: [UInt8], _ element: inout [UInt8], flags: UInt64) -> Int32
    /// 0 or -errno
    func remove(_ key: [UInt8]) -> Int32
    /// How many values an update with these flags is handed.
    func valueCount(_ flags: UInt64) -> Int
}

extension EngineMap {
    package var name: String { definition.name }
    package var isPerCPU: Bool { definition.type.traits.contains(.perCPU) }
    package var keySize: Int { Int(definition.keySize) }
    /// Bytes of one value, the copies of a per-CPU map not counted.
    package var valueSize: Int { Int(definition.valueSize) }
    /// `value_size` rounded up to 8, as values of per-CPU maps lie one behind the other.
    package var stride: Int { (valueSize + 7) / 8 * 8 }

    package func valueCount(_ flags: UInt64) -> Int { valueCount }

    /// Room for an element of so many values.
    package func element(of count: Int) -> [UInt8] { [UInt8](repeating: 0, count: max(stride * count, 8)) }

    /// The values at `key`, one for each copy; nil if there is no such element.
    package func read(_ key: [UInt8]) -> [[UInt8]]? {
        guard key.count == keySize else { return nil }
        var element = element(of: valueCount)
        guard lookUp(key, &element) == 0 else { return nil }
        return (0..<valueCount).map { Array(element[($0 * stride)..<($0 * stride + valueSize)]) }
    }

    /// Writes `values` (one for each copy) at `key`; 0 or -errno.
    package func write(_ key: [UInt8], _ values: [[UInt8]], flags: UInt64) -> Int32 {
        guard key.count == keySize, values.count == valueCount(flags), values.allSatisfy({ $0.count == valueSize }) else {
            return -EINVAL
        }
        var element = element(of: values.count)
        for (index, value) in values.enumerated() {
            element.replaceSubrange((index * stride)..<(index * stride + valueSize), with: value)
        }
        return update(key, &element, flags: flags)
    }

    /// Removes the element at `key`; 0 or -errno.
    package func delete(_ key: [UInt8]) -> Int32 { key.count == keySize ? remove(key) : -EINVAL }

    /// A word of the first value of an array; 0 where there is none.
    package func word(_ index: Int) -> UInt64 { words(index..<index + 1).first ?? 0 }

    /// The same of several.
    package func words(_ range: Range<Int>) -> [UInt64] {
        guard let value = read([0, 0, 0, 0])?.first, value.count >= range.upperBound * 8 else { return range.map { _ in 0 } }
        return value.withUnsafeBytes { bytes in range.map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) } }
    }
}
