import BPF
import BTF
import Engine

extension BPFObject {
    /// A global variable of an object that is not loaded yet.
    public struct Variable: Sendable, CustomStringConvertible {
        /// Its name in C.
        public let name: String
        /// Its declaration in C, e.g. `const volatile u64 limit`.
        public let declaration: String
        /// Whether programs only read it. It can be set before the object is loaded, and not later.
        public let isConstant: Bool
        /// The value that it starts with, rendered by its type.
        public let description: String
    }

    /// The global variables that can be set before the object is loaded: all but constants that are not `volatile`, whose
    /// values the compiler has put into the code.
    ///
    /// ```swift
    /// for variable in object.variables { print("\(variable.declaration) = \(variable)") }
    /// ```
    public var variables: [Variable] { settable.map(describe) }

    private var settable: [ObjectVariable] { object.variables.filter(\.isSettable) }

    private func describe(_ variable: ObjectVariable) -> Variable {
        Variable(
            name: variable.name, declaration: object.btf?.declaration(of: variable.typeID, name: variable.name) ?? variable.name,
            isConstant: variable.section == .rodata,
            description: object.btf?.value(of: object.contents(of: variable), as: variable.typeID).description ?? "")
    }

    /// Gives a global variable another value to start with: a `const volatile` one, which the verifier then takes for a
    /// constant, or one that programs change.
    ///
    /// ```swift
    /// var object = try BPFObject(contentsOf: "slow_calls.bpf.o")
    /// try object.set("limit", to: 5_000_000)
    /// try await session.load(object)
    /// ```
    ///
    /// - Parameters:
    ///   - name: the variable's name in C.
    ///   - value: a number that its type holds; for an enum, any number of its size.
    /// - Throws: ``SessionError`` with the code `request`, naming the variables that there are, or what the type takes.
    public mutating func set(_ name: String, to value: some BinaryInteger) throws(SessionError) {
        try set(name, .integer(value))
    }

    /// Sets a `bool`; see ``set(_:to:)-(_,BinaryInteger)``.
    public mutating func set(_ name: String, to value: Bool) throws(SessionError) { try set(name, .boolean(value)) }

    /// Sets an enum by the name of an enumerator, or an array of `char` by its text, behind which a NUL must find room.
    ///
    /// ```swift
    /// try object.set("mode", to: "COUNT_ONLY")
    /// ```
    public mutating func set(_ name: String, to value: String) throws(SessionError) { try set(name, .text(value)) }

    /// Sets a variable of 64 bits that counts nanoseconds.
    ///
    /// ```swift
    /// try object.set("limit", to: .milliseconds(5))
    /// ```
    public mutating func set(_ name: String, to value: Duration) throws(SessionError) {
        let (seconds, attoseconds) = value.components
        try set(name, .nanoseconds(Int128(seconds) * 1_000_000_000 + Int128(attoseconds / 1_000_000_000)))
    }

    /// Sets all elements of an array of numbers.
    ///
    /// ```swift
    /// try object.set("limits", to: [10, 100, 1000])
    /// ```
    public mutating func set(_ name: String, to values: [some BinaryInteger]) throws(SessionError) {
        try set(name, .list(values.map { .integer($0) }))
    }

    /// Sets a variable of any type by its bytes, which are as many as it has.
    public mutating func set(_ name: String, toBytes bytes: [UInt8]) throws(SessionError) { try set(name, .bytes(bytes)) }

    /// Sets a variable to what somebody wrote, read as its type wants it: `5_000_000`, `0xff`, `-1`, `true`, `5ms` (for
    /// nanoseconds in 64 bits; `ns`, `us`, `ms`, `s`, `min`, `h`), an enumerator's name, text for an array of `char`, `1,2,3`
    /// for another array.
    ///
    /// ```swift
    /// try object.set("limit", toWritten: "5ms")
    /// ```
    public mutating func set(_ name: String, toWritten text: String) throws(SessionError) { try set(name, .written(text)) }

    private mutating func set(_ name: String, _ value: BTFInput) throws(SessionError) {
        let named = object.variables.filter { $0.name == name }
        guard let variable = named.first(where: \.isSettable) ?? named.first else { throw noVariable(name) }
        guard variable.isSettable else {
            throw cannotSet(variable, "the compiler has put its value into the code", advice: "declare it 'const volatile'")
        }
        do throws(BTFInputError) {
            try object.set(variable, to: value)
        } catch {
            throw cannotSet(variable, error.description)
        }
    }

    private func cannotSet(_ variable: ObjectVariable, _ reason: String, advice: String? = nil) -> SessionError {
        SessionError(.request, "cannot set '\(describe(variable).declaration)': \(reason)", advice: advice)
    }

    private func noVariable(_ name: String) -> SessionError {
        let names = settable.map(\.name)
        let nearest = NearestNames.of(name, in: names)
        let advice =
            if object.btf == nil {
                "its types are not known; compile it with -g"
            } else if !nearest.isEmpty {
                "did you mean \(nearest.map { "'\($0)'" }.joined(separator: ", "))?"
            } else if names.isEmpty {
                "there are none that can be set"
            } else {
                "there are \(names.map { "'\($0)'" }.joined(separator: ", "))"
            }
        return SessionError(.request, "\(object.name) has no variable '\(name)'", advice: advice)
    }
}

extension BTFInput {
    fileprivate static func integer(_ value: some BinaryInteger) -> BTFInput {
        .integer(isNegative: value < 0, magnitude: UInt128(clamping: value.magnitude))
    }
}
