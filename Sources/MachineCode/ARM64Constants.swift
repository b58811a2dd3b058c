/// Constants that instructions hold.
package enum ARM64Constant {
    /// The 13 bits (N, immr, imms) of a logical instruction's constant: a run of ones, rotated, in an element of 2, 4 … 64 bits
    /// that fills the register. nil for those that are none.
    package static func logical(_ value: UInt64, _ width: ARM64Width) -> UInt32? {
        var value = value
        if width == .word {
            guard value <= UInt64(UInt32.max) else { return nil }
            value |= value << 32
        }
        if value == 0 || value == .max { return nil }
        // The smallest element that repeats.
        var size = UInt64(64)
        while size > 2 {
            let half = size / 2
            let mask = UInt64(1) << half - 1
            guard value & mask == value >> half & mask else { break }
            size = half
        }
        let mask = UInt64.max >> (64 - size)
        let element = value & mask
        // Rotated so that its ones are at the bottom, it must be one less than a power of two.
        let ones = UInt64(element.nonzeroBitCount)
        for rotation in 0..<size {
            let rotated = rotation == 0 ? element : (element >> rotation | element << (size - rotation)) & mask
            guard rotated == 1 << ones - 1 else { continue }
            let immr = UInt32(truncatingIfNeeded: (size - rotation) % size)
            let imms = UInt32(truncatingIfNeeded: ~(size * 2 - 1) & 0x3f | (ones - 1))
            return (size == 64 ? 1 << 12 : 0) | immr << 6 | imms
        }
        return nil
    }

    /// Whether `add` and `sub` have it: twelve bits, or twelve bits with as many zeros below.
    package static func isArithmetic(_ value: UInt64) -> Bool {
        value < 1 << 12 || value & 0xfff == 0 && value < 1 << 24
    }

    /// How many instructions make it: see `ARM64Assembler.mov(_:immediate:)`.
    package static func length(_ value: UInt64) -> Int {
        let pieces = (0..<4).map { UInt16(truncatingIfNeeded: value >> UInt64($0 * 16)) }
        let count = 4 - max(pieces.count { $0 == 0 }, pieces.count { $0 == 0xffff })
        if count > 1, logical(value, .doubleword) != nil { return 1 }
        if count > 1, value <= UInt64(UInt32.max) {
            // 32 bits of ones that are cleared above.
            let low = (0..<2).map { UInt16(truncatingIfNeeded: value >> UInt64($0 * 16)) }
            if logical(value, .word) != nil || low.contains(0xffff) { return 1 }
        }
        return max(1, count)
    }
}

extension ARM64Assembler {
    /// Puts a constant into a register by as few of `movz`, `movn`, `movk` and `orr` as it takes; no flags change.
    package mutating func mov(_ destination: ARM64Register, immediate value: UInt64) {
        let pieces = (0..<4).map { UInt16(truncatingIfNeeded: value >> UInt64($0 * 16)) }
        let zeros = pieces.count { $0 == 0 }
        let ones = pieces.count { $0 == 0xffff }
        if max(zeros, ones) < 3 {
            if ARM64Constant.logical(value, .doubleword) != nil {
                logical(.or, destination, .zr, immediate: value)
                return
            }
            if value <= UInt64(UInt32.max) {
                if ARM64Constant.logical(value, .word) != nil {
                    logical(.or, destination, .zr, immediate: value, .word)
                    return
                }
                if pieces[1] == 0xffff || pieces[0] == 0xffff {
                    let place: UInt8 = pieces[1] == 0xffff ? 0 : 1
                    movn(destination, ~pieces[Int(place)], place, .word)
                    return
                }
            }
        }
        let filler: UInt16 = ones > zeros ? 0xffff : 0
        var isFirst = true
        for (index, piece) in pieces.enumerated() where piece != filler {
            let place = UInt8(index)
            if !isFirst {
                movk(destination, piece, place)
            } else if filler == 0 {
                movz(destination, piece, place)
            } else {
                movn(destination, ~piece, place)
            }
            isFirst = false
        }
        if isFirst {
            if filler == 0 { movz(destination, 0, 0) } else { movn(destination, 0, 0) }
        }
    }
}
