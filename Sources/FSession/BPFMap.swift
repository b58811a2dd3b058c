import BPF
import BTF
import Engine
import Glibc
import LinuxProcess
import PlainText
import Sessions

/// A map of a loaded object, read and written while the programs run.
///
/// ```swift
/// if let counts = session.map(named: "counts") {
///     for entry in counts.entries() { print(entry) }
/// }
/// ```
public struct BPFMap: Sendable {
    /// A key and the value(s) behind it.
    public struct Entry: Sendable {
        /// The key's bytes, in the machine's order.
        public let key: [UInt8]
        /// One value; for a per-CPU map one for each slot (a thread owns a slot; unused ones are zero).
        public let values: [[UInt8]]
        /// Key and value rendered by the map's BTF types, as C would initialise them.
        public let description: String
        /// The same as JSON: `{"key": …, "value": …}`.
        public let json: String
    }

    let map: any EngineMap
    let types: BTF?

    /// Its name in C.
    public var name: String { map.name }
    /// Bytes of a key; 0 for ring buffers, queues and stacks.
    public var keySize: Int { map.keySize }
    /// Bytes of a value.
    public var valueSize: Int { map.valueSize }
    /// How many elements it has room for; of a ring buffer, bytes.
    public var maxEntries: Int { Int(map.definition.maxEntries) }
    /// Whether it has elements to list: ring buffers, queues and stacks have none.
    public var isListed: Bool { keySize > 0 && map.definition.type != .progArray && !traits.contains(.ring) }
    /// Updates that found no room, or records that found none in a ring buffer.
    public var dropped: UInt64 { map.dropped }

    /// The values at `key`: one, or one for each slot of a per-CPU map; nil if there are none.
    public func values(at key: [UInt8]) -> [[UInt8]]? { map.read(key) }

    /// When ``update(_:_:when:)`` writes.
    public struct Condition: Sendable, Hashable {
        let flags: UInt64
        /// Whether there is such an element or not (`BPF_ANY`).
        public static let always = Condition(flags: 0)
        /// Only where there is none yet (`BPF_NOEXIST`).
        public static let absent = Condition(flags: 1)
        /// Only where there is one already (`BPF_EXIST`).
        public static let present = Condition(flags: 2)
    }

    /// Sets the value at `key`; for a per-CPU map, in every slot.
    ///
    /// ```swift
    /// try map.update([1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], when: .absent)
    /// ```
    ///
    /// - Parameters:
    ///   - key: as many bytes as ``keySize``.
    ///   - value: as many bytes as ``valueSize``.
    ///   - condition: whether there may be, or must be, such an element already.
    /// - Throws: ``SessionError`` where key or value have the wrong size, the map is full, the condition does not hold, or it
    ///   cannot be written.
    public func update(_ key: [UInt8], _ value: [UInt8], when condition: Condition = .always) throws(SessionError) {
        if value.count != valueSize { throw refused("update", "its values have \(valueSize) bytes, not \(value.count)") }
        try checkKey(key, "update")
        let error = -map.write(key, Array(repeating: value, count: map.valueCount), flags: condition.flags)
        if error != 0 { throw refused("update", reason(error)) }
    }

    /// Removes the element at `key`; false if there was none.
    /// - Throws: ``SessionError`` where the key has the wrong size, or elements of this map cannot be removed.
    @discardableResult
    public func remove(_ key: [UInt8]) throws(SessionError) -> Bool {
        try checkKey(key, "remove from")
        let error = -map.delete(key)
        if error == ENOENT { return false }
        if error != 0 { throw refused("remove from", reason(error)) }
        return true
    }

    /// The maps of an object, the sections of global variables left out.
    static func all(of object: SessionObject) -> [BPFMap] {
        object.maps.filter { $0.definition.section == .none }.map { BPFMap(map: $0, types: object.object.btf) }
    }

    private func checkKey(_ key: [UInt8], _ what: String) throws(SessionError) {
        if key.count != keySize { throw refused(what, "its keys have \(keySize) bytes, not \(key.count)") }
    }

    private func refused(_ what: String, _ reason: String) -> SessionError {
        SessionError(.request, "cannot \(what) map '\(name)': \(reason)")
    }

    private func reason(_ error: Int32) -> String {
        switch error {
        case E2BIG where traits.contains(.array): "it has no element of that number; there are \(maxEntries)"
        case EEXIST: "it has an element of that key already"
        case ENOENT: "it has no element of that key"
        case E2BIG: "it is full (\(maxEntries) entries)"
        case EINVAL, EOPNOTSUPP: "maps of this type do not allow it"
        case EPERM: "it may only be read, or its elements are programs' alone"
        default: errorText(error)
        }
    }

    private var traits: MapTraits { map.definition.type.traits }

    /// All elements there are now. Elements that never changed from zero are left out of arrays.
    public func entries() -> [Entry] { elements().map(entry) }

    func elements() -> [(key: [UInt8], values: [[UInt8]])] {
        let isArray = traits.isSuperset(of: [.array, .values])
        return map.keys().compactMap { key in
            guard let values = map.read(key) else { return nil }
            if isArray, maxEntries > 1, values.allSatisfy({ $0.allSatisfy { $0 == 0 } }) { return nil }
            return (key, values)
        }
    }
}

extension BPFMap {
    private func render(_ bytes: [UInt8], _ type: BTF.TypeID?) -> String {
        guard let types, let type else { return "0x" + hexadecimal(bytes) }
        return types.value(of: bytes, as: type).description
    }

    private func renderJSON(_ bytes: [UInt8], _ type: BTF.TypeID?) -> JSON {
        guard let types, let type else { return JSON(hexadecimal(bytes)) }
        return JSON(text: types.value(of: bytes, as: type).json)
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private func entry(_ key: [UInt8], _ values: [[UInt8]]) -> Entry {
        let shown = map.isPerCPU ? values.filter { $0.contains { $0 != 0 } } : values
        let texts = shown.map { render($0, map.definition.valueTypeID) }.joined(separator: ", ")
        let objects = shown.map { renderJSON($0, map.definition.valueTypeID) }
        let json: JSON = ["key": renderJSON(key, map.definition.keyTypeID), "value": map.isPerCPU ? JSON(objects) : objects.first]
        let value = map.isPerCPU ? "[\(texts)]" : texts
        return Entry(
            key: key, values: values, description: "\(render(key, map.definition.keyTypeID)): \(value)", json: json.text)
    }
}
