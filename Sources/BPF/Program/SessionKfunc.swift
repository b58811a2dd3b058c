/// The two functions of the kernel that only sessions have.
package enum SessionKfunc: String, CaseIterable, Sendable {
    case isReturn = "bpf_session_is_return"
    case cookie = "bpf_session_cookie"

    /// Both as externs, for programs that come from no object.
    package static let externs = allCases.map { Extern(name: $0.rawValue, isFunction: true, isWeak: false, typeID: nil) }

    /// Both names, for a message.
    package static let names = allCases.map(\.rawValue).joined(separator: " and ")

    /// A call of it, in a program that has ``externs``.
    package var call: Instruction { .call(.external(self == .isReturn ? 0 : 1)) }

    /// The one that an instruction calls.
    package init?(calledBy instruction: Instruction, _ externs: [Extern]) {
        guard instruction.opcode == .call, instruction.source == .r2, externs.indices.contains(Int(instruction.immediate))
        else { return nil }
        self.init(rawValue: externs[Int(instruction.immediate)].name)
    }
}
