/// Types by their ids, however they are kept.
package protocol TypeTable {
    /// The type with that id; `void` for an id that does not exist.
    subscript(id: BTF.TypeID) -> BTFType { get }
}

extension TypeTable {
    /// The type behind `typedef`, `const`, `volatile`, `restrict` and type tags; nil where these go in a circle.
    package func resolve(_ id: BTF.TypeID) -> BTF.TypeID? {
        var id = id
        for _ in 0..<Self.deepest {
            switch self[id].kind {
            case .typedef(let next), .const(let next), .volatile(let next), .restrict(let next), .typeTag(let next):
                id = next
            default:
                return id
            }
        }
        return nil
    }

    /// `sizeof`; nil for what has no size (`void`, functions, forward declarations) and for damage.
    package func size(of id: BTF.TypeID) -> UInt64? {
        var id = id
        var factor: UInt64 = 1
        for _ in 0..<Self.deepest {
            guard let resolved = resolve(id) else { return nil }
            let size: UInt64
            switch self[resolved].kind {
            case .integer(let integer): size = UInt64(integer.size)
            case .pointer: size = 8
            case .structure(let bytes, _), .union(let bytes, _), .enumeration(let bytes, _, _), .float(let bytes),
                .dataSection(let bytes, _):
                size = UInt64(bytes)
            case .variable(let type, _):
                id = type
                continue
            case .array(let element, _, let count):
                let (product, overflow) = factor.multipliedReportingOverflow(by: UInt64(count))
                guard !overflow else { return nil }
                factor = product
                id = element
                continue
            default: return nil
            }
            let (product, overflow) = factor.multipliedReportingOverflow(by: size)
            return overflow ? nil : product
        }
        return nil
    }

    /// How far chains of types are followed. C code stays far below; damaged BTF can go in circles.
    static var deepest: Int { 64 }
}
