import BPF

extension Walker {
    /// A register that is read must have been written.
    @inline(__always)
    func read(_ register: Register) throws(VerifierFailure) -> RegisterState {
        let value = values[Int(register.rawValue), state.depth]
        guard value.kind != .uninitialized else { throw notReadable(register) }
        return value
    }

    @inline(never)
    private func notReadable(_ register: Register) -> VerifierFailure {
        failure(
            "R\(register.rawValue) !read_ok",
            hint: register.rawValue <= 5 && register.rawValue > 0
                ? "calls leave nothing in r1…r5, and functions have no more arguments than they are called with"
                : "it is read before it has a value: initialise it on every path")
    }

    @inline(__always)
    func read(_ operand: Operand) throws(VerifierFailure) -> RegisterState {
        switch operand {
        case .register(let register): try read(register)
        case .immediate(let value): .constant(UInt64(bitPattern: Int64(value)))
        }
    }

    @inline(__always)
    mutating func write(_ register: Register, _ value: RegisterState) {
        values[Int(register.rawValue), state.depth] = value
    }

    // MARK: - Moves

    mutating func move(_ width: Width, _ destination: Register, _ operand: Operand) throws(VerifierFailure) {
        switch operand {
        case .immediate(let value):
            write(
                destination,
                .constant(width == .bits64 ? UInt64(bitPattern: Int64(value)) : UInt64(UInt32(bitPattern: value))))
        case .register(let source):
            var value = try read(source)
            if width == .bits64 {
                if value.isScalar { value = link(source) }
                write(destination, value)
                return
            }
            guard value.isScalar else { throw failure("R\(source.rawValue) partial copy of pointer") }
            if value.value.maximum <= 0xffff_ffff {
                value = link(source)
            } else {
                value = RegisterState(value.value.zeroExtended, origin: value.origin)
            }
            write(destination, value)
        }
    }

    /// The scalar in a register that is about to be copied: both will be known to be the same.
    mutating func link(_ register: Register) -> RegisterState {
        let index = Int(register.rawValue)
        if values[index, state.depth].id == 0, !values[index, state.depth].value.isConstant {
            values.setID(.register(index, frame: state.depth), newID())
        }
        return values[index, state.depth]
    }

    mutating func moveSigned(
        _ width: Width, _ destination: Register, _ source: Register, bytes: Int
    ) throws(VerifierFailure) {
        let value = try read(source)
        guard value.isScalar else { throw failure("R\(source.rawValue) sign-extension part of pointer") }
        let extended = value.value.signExtended(fromBytes: bytes)
        write(destination, RegisterState(width == .bits64 ? extended : extended.zeroExtended, origin: value.origin))
    }

    mutating func negate(_ width: Width, _ register: Register) throws(VerifierFailure) {
        let value = try read(register)
        guard value.isScalar else { throw failure("R\(register.rawValue) pointer arithmetic prohibited") }
        write(
            register,
            RegisterState(Scalar.apply(.subtract, width, Scalar(0), value.value), origin: value.origin))
    }

    mutating func changeByteOrder(_ order: ByteOrder, _ bits: UInt8, _ register: Register) throws(VerifierFailure) {
        let value = try read(register)
        guard value.isScalar else { throw failure("R\(register.rawValue) pointer arithmetic prohibited") }
        let bytes = Int(bits / 8)
        let result: Scalar
        if order == .toLittle {
            result = value.value.truncated(toBytes: bytes)
        } else if let constant = value.value.constant {
            result = Scalar(constant.byteSwapped >> UInt64(64 - Int(bits)))
        } else {
            var swapped = Scalar(bits: value.value.bits.swapped(bytes: bytes))
            swapped.settle()
            result = swapped
        }
        write(register, RegisterState(result, origin: value.origin))
    }

    mutating func loadImmediate(
        _ kind: WideImmediate, _ destination: Register, _ first: Int32, _ second: Int32
    ) throws(VerifierFailure) {
        switch kind {
        case .value:
            write(destination, .constant(UInt64(UInt32(bitPattern: first)) | UInt64(UInt32(bitPattern: second)) << 32))
        case .map:
            _ = try map(first)
            write(destination, RegisterState(kind: .map, index: first))
        case .mapValue:
            let map = try map(first)
            guard map.type == .array, map.maxEntries == 1 else {
                throw failure("direct value access on map '\(map.name)' not allowed: it is no array of one element")
            }
            guard second >= 0, UInt32(second) <= map.valueSize else {
                throw failure("invalid access to map value pointer, value_size=\(map.valueSize) off=\(second)")
            }
            var register = RegisterState(kind: .mapValue, index: first, size: valueSize(map))
            register.value = Scalar(UInt64(second))
            register.isReadOnly = map.section == .rodata
            write(destination, register)
        case .variable:
            guard input.externs.indices.contains(Int(first)) else { throw failure("invalid extern index \(first)") }
            let extern = input.externs[Int(first)]
            if extern.isFunction, SessionKfunc(rawValue: extern.name) == nil {
                guard extern.isWeak else {
                    throw failure("calling kernel function \(extern.name) is not allowed", hint: Self.kfuncHint)
                }
                // Not found: what it guards is dead.
                write(destination, .constant(0))
            } else {
                // The address of a symbol of the target: a number, which only helpers follow.
                write(destination, extern.isFunction ? RegisterState(Scalar(1...UInt64.max)) : .unknown)
            }
        case .function:
            let start = state.slot + 1 + Int(first)
            write(destination, RegisterState(kind: .function, index: Int32(truncatingIfNeeded: start)))
        case .mapDescriptor, .mapDescriptorValue:
            throw failure("unrecognized bpf_ld_imm64 insn: map descriptors have no meaning in a process")
        }
    }

    func map(_ index: Int32) throws(VerifierFailure) -> MapDefinition {
        guard input.maps.indices.contains(Int(index)) else { throw failure("invalid map index \(index)") }
        return input.maps[Int(index)]
    }

    func valueSize(_ map: MapDefinition) -> Int32 { Int32(clamping: map.valueSize) }

    // MARK: - Arithmetic

    mutating func arithmetic(
        _ operation: ArithmeticOperation, _ width: Width, _ destination: Register, _ operand: Operand
    ) throws(VerifierFailure) {
        let left = try read(destination)
        let right = try read(operand)
        if left.isScalar && right.isScalar {
            write(destination, scalars(operation, width, left, right, operand, destination))
            return
        }
        try pointer(operation, width, destination, left, right, operand)
    }

    private mutating func scalars(
        _ operation: ArithmeticOperation, _ width: Width, _ left: RegisterState, _ right: RegisterState,
        _ operand: Operand, _ destination: Register
    ) -> RegisterState {
        if operand == .register(destination), operation == .subtract || operation == .xor { return .constant(0) }
        var result = RegisterState(
            Scalar.apply(operation, width, left.value, right.value), origin: graph.join(left.origin, right.origin))
        // A constant more than another register still tells of it.
        if left.id != 0, width == .bits64, case .immediate(let value) = operand {
            let change: Int32? =
                switch operation {
                case .add: value
                case .subtract: value == .min ? nil : -value
                default: nil
                }
            if let change {
                let (delta, overflows) = left.delta.addingReportingOverflow(change)
                if !overflows { (result.id, result.delta) = (left.id, delta) }
            }
        }
        return result
    }

    // MARK: - Pointers

    /// Offsets stay far from where they could wrap around (`BPF_MAX_VAR_OFF`).
    private static let farthest: Int64 = 1 << 29

    private mutating func pointer(
        _ operation: ArithmeticOperation, _ width: Width, _ destination: Register, _ left: RegisterState,
        _ right: RegisterState, _ operand: Operand
    ) throws(VerifierFailure) {
        let name = "R\(destination.rawValue)"
        guard width == .bits64 else { throw failure("\(name) 32-bit pointer arithmetic prohibited") }
        if left.isPointer && right.isPointer {
            guard operation == .subtract else {
                throw failure("\(name) pointer \(operation.text) pointer prohibited")
            }
            if left.kind == .frame, right.kind == .frame, left.frame == right.frame {
                // A distance within the same frame tells no address.
                write(destination, RegisterState(Scalar.apply(.subtract, .bits64, left.value, right.value)))
                return
            }
            guard options.allowsPointerLeaks, left.kind == right.kind, !left.isNullable, !right.isNullable else {
                throw failure("\(name) pointer -= pointer prohibited")
            }
            write(destination, .unknown)
            return
        }
        switch operation {
        case .add: break
        case .subtract:
            if left.isScalar { throw failure("\(name) tried to subtract pointer from scalar") }
            if left.kind == .frame, !right.value.isConstant {
                throw failure("\(name) subtraction from stack pointer prohibited", hint: "add a negative number instead")
            }
        case .and, .or, .xor:
            throw failure("\(name) bitwise operator \(operation.text) on pointer prohibited")
        default:
            throw failure("\(name) pointer arithmetic with \(operation.text) operator prohibited")
        }
        var pointer = left.isPointer ? left : right
        let scalar = left.isPointer ? right : left
        if pointer.isNullable {
            throw failure(
                "\(name) pointer arithmetic on \(log.kindName(pointer)) prohibited, null-check it first",
                hint: "check it for NULL first")
        }
        switch pointer.kind {
        case .map, .function:
            throw failure("\(name) pointer arithmetic on \(log.kindName(pointer)) prohibited")
        default: break
        }
        let farthest = Self.farthest
        if let amount = scalar.value.constant.map({ Int64(bitPattern: $0) }) {
            guard amount > -farthest, amount < farthest else {
                throw failure("math between \(log.kindName(pointer)) pointer and \(amount) is not allowed")
            }
        } else {
            guard scalar.value.signedMinimum != .min else {
                throw failure(
                    "math between \(log.kindName(pointer)) pointer and register with unbounded min value is not allowed",
                    hint: "check that it is not negative, or mask it: i &= SIZE - 1")
            }
            guard scalar.value.signedMinimum > -farthest else {
                throw failure(
                    "value \(scalar.value.signedMinimum) makes \(log.kindName(pointer)) pointer be out of bounds",
                    hint: "check that it is not negative, or mask it: i &= SIZE - 1")
            }
        }
        relyOn(scalar.origin)
        pointer.value = Scalar.apply(operation, .bits64, pointer.value, scalar.value)
        if operation == .add, left.isScalar { pointer.value = Scalar.apply(.add, .bits64, left.value, right.value) }
        let low = pointer.value.signedMinimum
        if pointer.value.isConstant, low <= -farthest || low >= farthest {
            throw failure("\(log.kindName(pointer)) pointer offset \(low) is not allowed")
        }
        if low <= -farthest {
            throw failure("value \(low) makes \(log.kindName(pointer)) pointer be out of bounds")
        }
        write(destination, pointer)
    }
}

extension ArithmeticOperation {
    /// As the kernel's log writes it.
    var text: String {
        switch self {
        case .add: "+="
        case .subtract: "-="
        case .multiply: "*="
        case .divide, .divideSigned: "/="
        case .or: "|="
        case .and: "&="
        case .shiftLeft: "<<="
        case .shiftRight: ">>="
        case .modulo, .moduloSigned: "%="
        case .xor: "^="
        case .shiftRightArithmetic: "s>>="
        }
    }
}
