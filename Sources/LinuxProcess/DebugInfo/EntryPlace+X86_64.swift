import CLibDW
import MachineCode

extension X86_64 {
    typealias Places = EntryPlace
}

/// Where a parameter is at the first instruction of its function, by `DW_AT_location`: the truth about optimized
/// functions, whatever their calling convention has become. Unoptimized code describes its stack slots instead,
/// which hold nothing yet at entry; for those there is no answer.
enum EntryPlace: ParameterPlaces {
    /// Rust tuples and Swift structures come in parts, but not in many.
    private static let maximumOperations = 32

    static func argument(_ parameter: DebuggingEntry, byteCount: Int, at address: UInt64) -> CallLayout.Argument? {
        guard byteCount > 0, byteCount <= ValueType.maximumExpandedBytes,
            var attribute = parameter.attribute(Int(DW_AT_location))
        else { return nil }
        var expression: UnsafeMutablePointer<Dwarf_Op>?
        var count = 0
        guard dwarf_getlocation_addr(&attribute, address, &expression, &count, 1) == 1, let expression,
            count > 0, count <= maximumOperations
        else { return nil }
        let operations = UnsafeBufferPointer(start: expression, count: count)

        if count == 1 {
            let atom = Int(operations[0].atom)
            // A pointer to the value, in a register.
            if (Int(DW_OP_breg0)...Int(DW_OP_breg31)).contains(atom) {
                guard operations[0].number == 0,
                    case .integer(let index)? = location(ofRegister: UInt64(atom - Int(DW_OP_breg0)))
                else { return nil }
                return CallLayout.Argument(locations: [.integer(index)], isIndirect: true)
            }
            guard let place = register(operations[0]).flatMap(location(ofRegister:)) else { return nil }
            return lanes(place, byteCount: byteCount).map { CallLayout.Argument(locations: $0) }
        }
        return pieces(operations, byteCount: byteCount).map { CallLayout.Argument(locations: $0) }
    }

    /// Parts in several registers, with holes; nil unless each begins with an eightbyte of the value.
    private static func pieces(
        _ operations: UnsafeBufferPointer<Dwarf_Op>, byteCount: Int
    ) -> [CallLayout.Location]? {
        var result = [CallLayout.Location](repeating: .padding, count: (byteCount + 7) / 8)
        var offset = 0
        var current: CallLayout.Location?
        var isHole = true
        for operation in operations {
            if Int(operation.atom) == Int(DW_OP_piece) {
                guard operation.number > 0, operation.number <= UInt64(byteCount - offset) else { return nil }
                let size = Int(operation.number)
                if !isHole {
                    guard let place = current, offset % 8 == 0, let parts = lanes(place, byteCount: size) else {
                        return nil
                    }
                    for (index, part) in parts.enumerated() { result[offset / 8 + index] = part }
                }
                offset += size
                current = nil
                isHole = true
            } else {
                // Anything but a register, or two operations in one part, is not understood.
                guard isHole, let number = register(operation), let place = location(ofRegister: number) else {
                    return nil
                }
                current = place
                isHole = false
            }
        }
        guard isHole, result.contains(where: { $0 != .padding }) else { return nil }
        return result
    }

    private static func lanes(_ place: CallLayout.Location, byteCount: Int) -> [CallLayout.Location]? {
        if byteCount <= 8 { return [place] }
        guard case .vector(let index, _) = place else { return nil }
        return (0..<(byteCount + 7) / 8).map { .vector(index, lane: $0) }
    }

    private static func register(_ operation: Dwarf_Op) -> UInt64? {
        let atom = Int(operation.atom)
        if (Int(DW_OP_reg0)...Int(DW_OP_reg31)).contains(atom) { return UInt64(atom - Int(DW_OP_reg0)) }
        return atom == Int(DW_OP_regx) ? operation.number : nil
    }

    /// The argument registers by their DWARF numbers, psABI figure 3.36.
    private static func location(ofRegister number: UInt64) -> CallLayout.Location? {
        switch number {
        case 5: .integer(0)
        case 4: .integer(1)
        case 1: .integer(2)
        case 2: .integer(3)
        case 8: .integer(4)
        case 9: .integer(5)
        case 17...24: .vector(Int(number) - 17, lane: 0)
        default: nil
        }
    }
}
