/// A map whose keys and values are values of Swift, which ``BPFMap/typed(key:value:)`` gives.
///
/// ```swift
/// struct Stats: BitwiseCopyable { var calls, nanoseconds: UInt64 }
/// if let stats = try loaded.maps["stats"]?.typed(key: UInt32.self, value: Stats.self) {
///     try stats.update(7, Stats(calls: 0, nanoseconds: 0), when: .absent)
///     for (key, values) in stats.entries() { print(key, values[0].calls) }
/// }
/// ```
public struct TypedMap<Key: BitwiseCopyable & Sendable, Value: BitwiseCopyable & Sendable>: Sendable {
    /// The same map, by its bytes.
    public let map: BPFMap

    /// The value at `key`, of a per-CPU map that of the first slot; nil if there is none.
    public func value(at key: Key) -> Value? { map.values(at: bytes(key, map.keySize))?.first.flatMap(Self.value) }

    /// The values at `key`: one, or one for each slot of a per-CPU map; nil if there are none.
    public func values(at key: Key) -> [Value]? { map.values(at: bytes(key, map.keySize))?.compactMap(Self.value) }

    /// Sets the value at `key`; for a per-CPU map, in every slot.
    /// - Parameters:
    ///   - key: where.
    ///   - value: the new value.
    ///   - condition: whether there may be, or must be, such an element already.
    /// - Throws: ``SessionError`` as ``BPFMap/update(_:_:when:)``.
    public func update(_ key: Key, _ value: Value, when condition: BPFMap.Condition = .always) throws(SessionError) {
        try map.update(bytes(key, map.keySize), bytes(value, map.valueSize), when: condition)
    }

    /// Removes the element at `key`; false if there was none.
    /// - Throws: ``SessionError`` where elements of this map cannot be removed.
    @discardableResult
    public func remove(_ key: Key) throws(SessionError) -> Bool { try map.remove(bytes(key, map.keySize)) }

    /// All elements there are now, of a per-CPU map with the values of all slots. Elements of arrays that are zero are left out.
    public func entries() -> [(key: Key, values: [Value])] {
        map.elements().compactMap { key, values in Self.load(key, Key.self).map { ($0, values.compactMap(Self.value)) } }
    }

    private static func value(_ bytes: [UInt8]) -> Value? { load(bytes, Value.self) }

    private static func load<Type: BitwiseCopyable>(_ bytes: [UInt8], _: Type.Type) -> Type? {
        guard bytes.count >= MemoryLayout<Type>.size else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: Type.self) }
    }

    /// What lies behind the last member, up to the size that C gives the type, is zero.
    private func bytes(_ value: some BitwiseCopyable, _ size: Int) -> [UInt8] {
        withUnsafeBytes(of: value) { Array($0) + [UInt8](repeating: 0, count: size - $0.count) }
    }
}

extension BPFMap {
    /// The map with keys and values of these types.
    ///
    /// They have to be numbers, or structs of numbers with the members of the C type in its order: whatever bytes a program
    /// wrote must be a value of them, which is not so for `Bool` and enums. Bytes between members (padding) are undefined in
    /// Swift: in a key, give them a member.
    ///
    /// ```swift
    /// let counts = try session.map(named: "counts")?.typed(key: UInt32.self, value: UInt64.self)
    /// print(counts?.value(at: 7) ?? 0)
    /// ```
    ///
    /// - Throws: ``SessionError`` with the code `request` where the map's keys or values have another size.
    public func typed<Key: BitwiseCopyable & Sendable, Value: BitwiseCopyable & Sendable>(
        key: Key.Type, value: Value.Type
    ) throws(SessionError) -> TypedMap<Key, Value> {
        try check(Key.self, "keys", keySize)
        try check(Value.self, "values", valueSize)
        return TypedMap(map: self)
    }

    /// A C struct ends where an array's next element would begin, one of Swift with its last member.
    private func check<Type: BitwiseCopyable>(_ type: Type.Type, _ what: String, _ size: Int) throws(SessionError) {
        guard MemoryLayout<Type>.size == size || MemoryLayout<Type>.stride == size else {
            throw SessionError(
                .request, "map '\(name)' has \(what) of \(size) bytes, and \(type) has \(MemoryLayout<Type>.stride)")
        }
    }
}
