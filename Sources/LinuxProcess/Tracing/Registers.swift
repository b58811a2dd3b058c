import CLinux
import MachineCode

/// What the engine needs of a stopped thread's registers on every architecture.
package protocol ThreadRegisters: Sendable, Equatable {
    /// As NT_PRSTATUS gives them.
    var words: [UInt64] { get set }
    init(words: [UInt64])
    static var wordCount: Int { get }

    var instructionPointer: UInt64 { get set }
    var stackPointer: UInt64 { get set }
    /// True when the thread was inside a system call which the kernel will start again.
    var isInterruptedSystemCall: Bool { get }
    /// False for a 32-bit thread in a 64-bit process.
    var is64Bit: Bool { get }
    /// The result of the system call that has just returned.
    var systemCallResult: Int64 { get set }
    /// True when a system call failed with EINTR only because the thread was stopped, and can be made again.
    var failedWhenStopped: Bool { get }

    /// These registers, changed to make a system call with the instruction at `address`.
    func calling(number: Int, arguments: [UInt64], at address: UInt64) -> Self

    /// Registers in which the thread may have where it returns to, other than on its stack.
    var returnAddresses: [UInt64] { get }
    /// A word that may be a return address, without what signs it.
    static func returnAddress(_ word: UInt64) -> UInt64

    /// The thread's own block of memory; nil before it is set up, and where these registers do not tell.
    var threadBlock: UInt64? { get }
    /// Whether a thread's block has its own address at its start.
    static var threadBlockNamesItself: Bool { get }

    /// The bytes of the system call instruction.
    static var systemCallInstruction: [UInt8] { get }
    /// The bytes of the breakpoint instruction.
    static var breakpointInstruction: [UInt8] { get }
    /// How far the instruction pointer is behind a breakpoint when it has been hit.
    static var breakpointAdvance: UInt64 { get }
    /// EM_* of the programs that have these registers.
    static var machine: UInt16 { get }
}

package typealias Registers = Architecture.Registers

/// The results with which the kernel marks a system call that it starts again.
enum RestartCode {
    static let system: Int64 = -512
    static let noInterrupt: Int64 = -513
    static let noHandler: Int64 = -514
    static let restartBlock: Int64 = -516

    static func contains(_ result: Int64) -> Bool {
        result == system || result == noInterrupt || result == noHandler || result == restartBlock
    }
}
