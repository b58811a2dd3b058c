import BTF

/// A global variable of an object that is not loaded yet.
package struct ObjectVariable: Sendable {
    package let name: String
    package let typeID: BTF.TypeID
    /// Read-only, initialised or zero.
    package let section: MapDefinition.DataSection
    /// The map that its section becomes, and its bytes in there.
    package let map: Int
    package let range: Range<Int>
    /// The compiler does not know its value: `const volatile`, or no constant.
    package let isSettable: Bool
}

extension Object {
    /// The global variables, as far as the object's types describe them.
    package var variables: [ObjectVariable] {
        guard let btf else { return [] }
        return maps.indices.flatMap { map -> [ObjectVariable] in
            let definition = maps[map]
            guard definition.section != .none, let contents = definition.initialContents, let section = definition.valueTypeID,
                case .dataSection(_, let members) = btf[section].kind
            else { return [] }
            return members.compactMap { member in
                let range = Int(member.offset)..<(Int(member.offset) + Int(member.size))
                guard case .variable(let type, _) = btf[member.type].kind, !btf[member.type].name.isEmpty,
                    range.upperBound <= contents.count
                else { return nil }
                return ObjectVariable(
                    name: btf[member.type].name, typeID: type, section: definition.section, map: map, range: range,
                    isSettable: definition.section != .rodata || btf.isVolatile(type))
            }
        }
    }

    /// What a variable holds when the object is loaded.
    package func contents(of variable: ObjectVariable) -> ArraySlice<UInt8> {
        maps[variable.map].initialContents?[variable.range] ?? []
    }

    /// Gives a variable of this object another value to start with.
    package mutating func set(_ variable: ObjectVariable, to value: BTFInput) throws(BTFInputError) {
        guard let btf, btf.size(of: variable.typeID) == UInt64(variable.range.count) else { throw .damaged }
        maps[variable.map].initialContents?.replaceSubrange(variable.range, with: try btf.bytes(of: value, as: variable.typeID))
    }
}

extension BTF {
    /// Whether a variable of that type is read anew each time; of an array, its elements are.
    fileprivate func isVolatile(_ id: TypeID) -> Bool {
        var id = id
        for _ in 0..<64 {
            switch self[id].kind {
            case .volatile: return true
            case .typedef(let next), .const(let next), .restrict(let next), .typeTag(let next), .array(let next, _, _): id = next
            default: return false
            }
        }
        return false
    }
}
