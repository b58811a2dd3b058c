import BTF
import Engine
import Sessions

/// A global variable of a loaded object (`.data`, `.bss`).
///
/// ```swift
/// print(session.variable(named: "calls")?.description ?? "no such variable")
/// ```
public struct BPFVariable: Sendable, CustomStringConvertible {
    /// Its name in C.
    public let name: String
    /// Bytes.
    public let size: Int
    let map: any EngineMap
    let types: BTF
    let type: BTF.TypeID
    let offset: Int

    /// The variable's bytes now.
    public var bytes: [UInt8] {
        guard let value = map.read([0, 0, 0, 0])?.first, offset + size <= value.count else { return [] }
        return Array(value[offset..<(offset + size)])
    }

    /// Gives the variable a new value while programs run; other variables of its section keep theirs only where
    /// no program writes them at the same time.
    /// - Throws: ``SessionError`` where `bytes` are not as many as the variable has.
    public func set(_ bytes: [UInt8]) throws(SessionError) {
        guard bytes.count == size, var value = map.read([0, 0, 0, 0])?.first, offset + size <= value.count else {
            throw SessionError(.request, "cannot set '\(name)': it has \(size) bytes, not \(bytes.count)")
        }
        value.replaceSubrange(offset..<(offset + size), with: bytes)
        guard map.write([0, 0, 0, 0], [value], flags: 0) == 0 else {
            throw SessionError(.request, "cannot set '\(name)': its section cannot be written")
        }
    }

    /// The value now, rendered by its BTF type.
    public var description: String { types.value(of: bytes, as: type).description }

    /// The same as JSON.
    public var json: String { types.value(of: bytes, as: type).json }

    /// The variables of an object that programs can change.
    static func all(of object: SessionObject) -> [BPFVariable] {
        guard let types = object.object.btf else { return [] }
        return object.object.variables.compactMap { variable in
            guard variable.section != .rodata, object.maps.indices.contains(variable.map) else { return nil }
            return BPFVariable(
                name: variable.name, size: variable.range.count, map: object.maps[variable.map], types: types, type: variable.typeID,
                offset: variable.range.lowerBound)
        }
    }
}
