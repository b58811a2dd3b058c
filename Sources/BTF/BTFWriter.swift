/// Writes types in the kernel's format, for `BPF_BTF_LOAD`.
package struct BTFWriter {
    private var types: [UInt8] = []
    private var strings: [UInt8] = [0]
    private var known: [String: UInt32] = ["": 0]

    package init() {}

    /// All that was appended, as the contents of a `.BTF` section.
    package func bytes() -> [UInt8] {
        var header = BTFWriter()
        header.word(0x0001_eb9f)
        header.word(24)
        header.word(0)
        header.word(UInt32(types.count))
        header.word(UInt32(types.count))
        header.word(UInt32(strings.count))
        return header.types + types + strings
    }

    private mutating func word(_ value: UInt32) {
        withUnsafeBytes(of: value.littleEndian) { types += $0 }
    }

    /// Where a string lies that is no name of a type: source lines refer to some.
    package mutating func string(_ text: String) -> UInt32 { name(text) }

    private mutating func name(_ text: String) -> UInt32 {
        if let offset = known[text] { return offset }
        let offset = UInt32(strings.count)
        strings += Array(text.utf8) + [0]
        known[text] = offset
        return offset
    }

    private mutating func start(_ name: String, _ kind: UInt32, count: Int = 0, flag: Bool = false, _ last: UInt32) {
        word(self.name(name))
        word(UInt32(count & 0xffff) | kind << 24 | (flag ? 1 << 31 : 0))
        word(last)
    }

    /// The next type; the first one has the id 1.
    package mutating func append(_ type: BTFType) {
        let name = type.name
        switch type.kind {
        // Nothing refers to `void` by a record; this keeps the ids of those behind it.
        case .void: start("removed", 7, 0)
        case .integer(let integer):
            start(name, 1, integer.size)
            let encoding: UInt32 =
                integer.isSigned ? 1 : integer.isBoolean ? 4 : integer.isCharacter && name != "char" ? 2 : 0
            word(encoding << 24 | UInt32(integer.bitOffset) << 16 | UInt32(integer.bits))
        case .pointer(let target): start("", 2, target.rawValue)
        case .array(let element, let index, let count):
            start("", 3, 0)
            word(element.rawValue)
            word(index.rawValue)
            word(count)
        case .structure(let size, let members): append(name, 4, size, members)
        case .union(let size, let members): append(name, 5, size, members)
        case .enumeration(let size, let isSigned, let values):
            let isWide = size == 8
            start(name, isWide ? 19 : 6, count: values.count, flag: isSigned, size)
            for value in values {
                word(self.name(value.name))
                let bits = UInt64(bitPattern: value.value)
                word(UInt32(truncatingIfNeeded: bits))
                if isWide { word(UInt32(truncatingIfNeeded: bits >> 32)) }
            }
        case .forward(let isUnion): start(name, 7, flag: isUnion, 0)
        case .typedef(let target): start(name, 8, target.rawValue)
        case .volatile(let target): start("", 9, target.rawValue)
        case .const(let target): start("", 10, target.rawValue)
        case .restrict(let target): start("", 11, target.rawValue)
        case .function(let prototype, let linkage): start(name, 12, count: Int(linkage.rawValue), prototype.rawValue)
        case .prototype(let result, let parameters):
            start("", 13, count: parameters.count, result.rawValue)
            for parameter in parameters {
                word(self.name(parameter.name))
                word(parameter.type.rawValue)
            }
        case .variable(let target, let linkage):
            start(name, 14, target.rawValue)
            word(linkage.rawValue)
        case .dataSection(let size, let variables):
            start(name, 15, count: variables.count, size)
            for variable in variables {
                word(variable.type.rawValue)
                word(variable.offset)
                word(variable.size)
            }
        case .float(let size): start(name, 16, size)
        case .declarationTag(let target, let component):
            start(name, 17, target.rawValue)
            word(UInt32(bitPattern: component))
        case .typeTag(let target): start(name, 18, target.rawValue)
        }
    }

    private mutating func append(_ name: String, _ kind: UInt32, _ size: UInt32, _ members: [BTFMember]) {
        let hasBitFields = members.contains { $0.bitFieldSize != 0 }
        start(name, kind, count: members.count, flag: hasBitFields, size)
        for member in members {
            word(self.name(member.name))
            word(member.type.rawValue)
            word(hasBitFields ? member.bitOffset | UInt32(member.bitFieldSize) << 24 : member.bitOffset)
        }
    }
}

extension BTFType {
    /// A type that was not read from a file.
    package init(_ name: String, _ kind: Kind) {
        self.init(name: name, kind: kind)
    }
}
extension BTFParameter {
    package init(_ name: String, _ type: BTF.TypeID) {
        self.init(name: name, type: type)
    }
}
