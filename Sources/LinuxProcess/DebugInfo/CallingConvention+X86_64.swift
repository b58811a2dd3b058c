import MachineCode

extension X86_64 {
    package typealias CallingABI = SystemVABI
}

/// The calling convention of the System V ABI for x86-64, "Parameter Passing" (psABI 3.2.3).
package enum SystemVABI: CallABI {
    /// What an eightbyte of a value is, in the order of the ABI's rules for merging.
    enum EightbyteClass: Hashable {
        case none
        case integer
        case vector
        /// The continuation of a vector in the same register.
        case vectorUpper
        case x87
        case x87Upper
        case complexX87
    }

    /// How a value is passed.
    enum ValueClass: Hashable {
        case eightbytes([EightbyteClass])
        case memory
        /// A C++ class that only its own code can copy.
        case reference
        case unknown
    }

    /// Where the arguments and the result of a function with this prototype are.
    ///
    /// Rust's convention is unspecified, Swift's another, and optimizers change that of functions that only they
    /// see: for those the places are the ones that the debug information gives for the entry, as far as it does.
    package static func classify(_ prototype: FunctionPrototype) -> CallLayout {
        guard prototype.convention == .standard else { return described(prototype) }
        var assignment = Assignment()
        let returnValue = result(prototype.returnType)
        // An unknown result could take rdi, and shift everything.
        guard returnValue != .unknown else {
            return CallLayout(
                arguments: prototype.parameters.map { _ in nil }, returnValue: .unknown, stackWords: nil,
                stackAlignment: 16)
        }
        if returnValue == .memory { assignment.integers = 1 }
        var arguments: [CallLayout.Argument?] = []
        var isComplete = true
        for parameter in prototype.parameters {
            let argument = isComplete ? assignment.place(parameter) : nil
            if argument == nil { isComplete = false }
            arguments.append(argument)
        }
        return CallLayout(
            arguments: arguments, returnValue: returnValue,
            stackWords: isComplete && !prototype.isVariadic ? assignment.stackWords : nil,
            stackAlignment: assignment.stackAlignment)
    }

    private static func described(_ prototype: FunctionPrototype) -> CallLayout {
        var returnValue = CallLayout.Return.unknown
        if prototype.convention != .other {
            // Scalars are returned as in C; nothing else is certain.
            switch prototype.returnType?.kind {
            case nil, .signed, .unsigned, .boolean, .character, .pointer, .enumeration, .float:
                returnValue = result(prototype.returnType)
            default: break
            }
        }
        return CallLayout(
            arguments: prototype.parameters.map(\.entryPlace), returnValue: returnValue, stackWords: nil,
            stackAlignment: 16)
    }

    /// The convention by comparing what the C convention says with the places that the debug information gives.
    ///
    /// GCC says nothing at functions whose parameters it has removed or changed (`f.isra.0`, `f.constprop.0`);
    /// Clang marks static functions that it only might have changed.
    package static func convention(of prototype: FunctionPrototype) -> FunctionPrototype.Convention {
        var standard = prototype
        standard.convention = .standard
        let layout = classify(standard)
        var allKnown = true
        for (parameter, argument) in zip(prototype.parameters, layout.arguments) {
            if let place = parameter.entryPlace, let argument {
                if !place.agrees(with: argument) { return .other }
            } else {
                allKnown = false
            }
        }
        return allKnown && prototype.convention == .other && !prototype.parameters.isEmpty
            ? .standard : prototype.convention
    }

    /// Registers and stack words given out so far.
    private struct Assignment {
        var integers = 0
        var vectors = 0
        var stackWords = 0
        var stackAlignment = 16

        mutating func place(_ parameter: FunctionPrototype.Parameter) -> CallLayout.Argument? {
            let type = parameter.type
            switch SystemVABI.valueClass(of: type) {
            case .unknown:
                guard let place = parameter.entryPlace else { return nil }
                for location in place.locations {
                    switch location {
                    case .integer(let index): integers = max(integers, index + 1)
                    case .vector(let index, _): vectors = max(vectors, index + 1)
                    case .stack, .padding: break
                    }
                }
                return place
            case .reference:
                return CallLayout.Argument(locations: place([.integer], alignment: 8), isIndirect: true)
            case .memory:
                return CallLayout.Argument(locations: onStack((type.byteCount + 7) / 8, alignment: type.alignment))
            case .eightbytes(let classes):
                return CallLayout.Argument(locations: place(classes, alignment: type.alignment))
            }
        }

        /// All eightbytes of a value go into registers, or none.
        private mutating func place(_ classes: [EightbyteClass], alignment: Int) -> [CallLayout.Location] {
            // Empty C++ classes.
            if classes.allSatisfy({ $0 == .none }) { return [] }
            if classes.contains(where: { $0 == .x87 || $0 == .complexX87 }) {
                return onStack(classes.count, alignment: alignment)
            }
            let neededIntegers = classes.count { $0 == .integer }
            let neededVectors = classes.count { $0 == .vector }
            guard integers + neededIntegers <= 6, vectors + neededVectors <= 8 else {
                return onStack(classes.count, alignment: alignment)
            }
            var lane = 0
            return classes.map { eightbyte in
                switch eightbyte {
                case .integer:
                    integers += 1
                    return .integer(integers - 1)
                case .vector:
                    vectors += 1
                    lane = 0
                    return .vector(vectors - 1, lane: 0)
                case .vectorUpper:
                    lane += 1
                    return .vector(vectors - 1, lane: lane)
                case .none, .x87, .x87Upper, .complexX87:
                    return .padding
                }
            }
        }

        private mutating func onStack(_ words: Int, alignment: Int) -> [CallLayout.Location] {
            let alignmentWords = max(1, alignment / 8)
            stackAlignment = max(stackAlignment, alignment)
            let start = (stackWords + alignmentWords - 1) / alignmentWords * alignmentWords
            stackWords = start + words
            // A value of many words is named by its first ones: nobody reads the places of a huge structure one by one.
            return (start..<start + min(words, CallLayout.maximumLocations)).map { .stack($0) }
        }
    }

    private static func result(_ type: ValueType?) -> CallLayout.Return {
        guard let type else { return .none }
        switch valueClass(of: type) {
        case .unknown: return .unknown
        case .reference, .memory: return .memory
        case .eightbytes(let classes):
            if classes.allSatisfy({ $0 == .none }) { return .none }
            var integers = 0
            var vectors = 0
            var lane = 0
            return .registers(
                classes.enumerated().map { index, eightbyte in
                    switch eightbyte {
                    case .integer:
                        integers += 1
                        return .integer(integers - 1)
                    case .vector:
                        vectors += 1
                        lane = 0
                        return .vector(vectors - 1, lane: 0)
                    case .vectorUpper:
                        lane += 1
                        return .vector(vectors - 1, lane: lane)
                    case .x87: return .extended(0)
                    case .complexX87: return .extended(index / 2)
                    case .x87Upper, .none: return .padding
                    }
                })
        }
    }

    // MARK: Classes

    static func valueClass(of type: ValueType) -> ValueClass {
        switch type.kind {
        case .unknown:
            return .unknown
        case .structure(_, byReference: true), .union(_, byReference: true):
            return .reference
        case .structure(let fields, _), .union(let fields, _):
            // GCC leaves out the members of transparent unions. Empty C++ classes have one byte.
            if fields.isEmpty, type.byteCount > 1, type.byteCount <= ValueType.maximumExpandedBytes { return .unknown }
        case .complex(isFloating: true) where type.byteCount == 32:
            // As an argument in memory, as a result in two x87 registers; quadruple precision always in memory.
            return type.name.contains("128")
                ? .memory : .eightbytes([.complexX87, .none, .complexX87, .none])
        default:
            break
        }
        guard type.byteCount > 0 else { return .eightbytes([]) }
        guard type.byteCount <= 64 else { return .memory }
        var eightbytes = Eightbytes(byteCount: type.byteCount)
        eightbytes.add(type, at: 0)
        return eightbytes.result
    }

    /// The eightbytes of a value while its scalars are merged into them.
    private struct Eightbytes {
        private var classes: [EightbyteClass]
        private var isMemory = false
        private var isUnknown = false
        private let byteCount: Int

        init(byteCount: Int) {
            self.byteCount = byteCount
            classes = Array(repeating: .none, count: (byteCount + 7) / 8)
        }

        /// The clean-up after merging, psABI 3.2.3 "post merger".
        var result: ValueClass {
            if isUnknown { return .unknown }
            if isMemory { return .memory }
            for (index, eightbyte) in classes.enumerated() where eightbyte == .x87Upper {
                if index == 0 || classes[index - 1] != .x87 { return .memory }
            }
            if classes.count > 2 {
                guard classes[0] == .vector, classes.dropFirst().allSatisfy({ $0 == .vectorUpper }) else {
                    return .memory
                }
            }
            var cleaned = classes
            for index in cleaned.indices where cleaned[index] == .vectorUpper {
                if index == 0 || (cleaned[index - 1] != .vector && cleaned[index - 1] != .vectorUpper) {
                    cleaned[index] = .vector
                }
            }
            return .eightbytes(cleaned)
        }

        mutating func add(_ type: ValueType, at bit: Int) {
            // Debug information that puts a field outside of its structure.
            guard bit >= 0, bit / 8 + type.byteCount <= byteCount else {
                isUnknown = true
                return
            }
            switch type.kind {
            case .unknown:
                isUnknown = true
            case .signed, .unsigned, .boolean, .character, .pointer, .enumeration:
                scalar(.integer, type, at: bit)
            case .float, .vector:
                if type.alignment > 1, bit % (type.alignment * 8) != 0 { isMemory = true }
                merge(.vector, bit: bit, bitCount: min(8, type.byteCount) * 8)
                if type.byteCount > 8 { merge(.vectorUpper, bit: bit + 64, bitCount: (type.byteCount - 8) * 8) }
            case .longDouble:
                if bit % 128 != 0 { isMemory = true }
                merge(.x87, bit: bit, bitCount: 64)
                merge(.x87Upper, bit: bit + 64, bitCount: 64)
            case .complex(let isFloating):
                if type.byteCount >= 32 { isMemory = true }
                let half = type.byteCount / 2
                for index in 0..<2 {
                    add(
                        ValueType(name: "", byteCount: half, kind: isFloating ? .float : .signed),
                        at: bit + index * half * 8)
                }
            case .structure(let fields, _), .union(let fields, _):
                for field in fields { add(field, at: bit) }
            case .array(let element, let count):
                guard element.byteCount > 0 else { return }
                for index in 0..<min(count, type.byteCount / element.byteCount) {
                    add(element, at: bit + index * element.byteCount * 8)
                }
            }
        }

        private mutating func add(_ field: ValueType.Field, at bit: Int) {
            let start = bit + field.bitOffset
            if let bitCount = field.bitCount {
                // Bit-fields may lie anywhere.
                merge(.integer, bit: start, bitCount: bitCount)
            } else {
                add(field.type, at: start)
            }
        }

        private mutating func scalar(_ eightbyte: EightbyteClass, _ type: ValueType, at bit: Int) {
            // A field that is not aligned makes the whole value one in memory.
            if type.alignment > 1, bit % (type.alignment * 8) != 0 { isMemory = true }
            merge(eightbyte, bit: bit, bitCount: type.byteCount * 8)
        }

        private mutating func merge(_ new: EightbyteClass, bit: Int, bitCount: Int) {
            guard bitCount > 0 else { return }
            guard bit >= 0, bit + bitCount <= classes.count * 64 else {
                isUnknown = true
                return
            }
            for index in bit / 64...(bit + bitCount - 1) / 64 {
                classes[index] = merged(classes[index], new)
            }
        }

        private mutating func merged(_ first: EightbyteClass, _ second: EightbyteClass) -> EightbyteClass {
            if first == second || second == .none { return first }
            if first == .none { return second }
            if first == .integer || second == .integer { return .integer }
            if [first, second].contains(where: { $0 == .x87 || $0 == .x87Upper || $0 == .complexX87 }) {
                isMemory = true
            }
            return .vector
        }
    }
}

extension CallLayout {
    /// Locations that are listed of one argument at most.
    package static let maximumLocations = 1024
}
