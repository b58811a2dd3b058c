import BPF
import MachineCode

/// Turns programs into machine code of one architecture.
package protocol ProgramCompiler {
    /// Compiles a program whose references are resolved: wide loads are values or functions, calls go to
    /// helpers or subprograms.
    static func compile(_ structure: ProgramStructure, context: CompileContext) throws(JITError) -> CompiledProgram
}

extension ProgramCompiler {
    /// Checks the structure of `instructions` and compiles them.
    package static func compile(
        _ instructions: [Instruction], context: CompileContext
    ) throws(JITError) -> CompiledProgram {
        let structure: ProgramStructure
        do {
            structure = try ProgramStructure(instructions)
        } catch {
            throw .program(error)
        }
        return try compile(structure, context: context)
    }
}

/// What a compiler must know about the place where the code will run.
package struct CompileContext {
    /// Where the first byte of the code will be.
    package var address: UInt64
    /// Where a helper is (`BPF_FUNC_*`); nil if there is none.
    package var helperAddress: (UInt32) -> UInt64?
    /// `struct fs_state *` in the target, the sixth argument of every helper.
    package var state: UInt64
    /// What the processor has that not every one of its architecture has. None unless asked for: code may be made for another
    /// machine.
    package var features: ProcessorFeatures
    /// Where the conversion of the time stamp counter lies; nil: `bpf_ktime_get_ns` is called.
    package var clock: Clock?

    /// `clock` and `clock_index` of `struct fs_state`, in the target.
    package struct Clock: Sendable {
        package var parameters: UInt64
        package var index: UInt64
        /// Where a 32-bit word is not 0 when the process may not read the counter any more; nil: it always may.
        package var filtered: UInt64?

        package init(parameters: UInt64, index: UInt64, filtered: UInt64? = nil) {
            self.parameters = parameters
            self.index = index
            self.filtered = filtered
        }
    }

    package init(
        address: UInt64, state: UInt64 = 0, features: ProcessorFeatures = [], clock: Clock? = nil,
        helperAddress: @escaping (UInt32) -> UInt64? = { _ in nil }
    ) {
        self.address = address
        self.helperAddress = helperAddress
        self.state = state
        self.features = features
        self.clock = clock
    }
}

/// Instructions that some processors of an architecture have; each is named beside its compiler.
package struct ProcessorFeatures: OptionSet, Sendable, Hashable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }
}

extension CompileContext {
    /// Whether a call of this helper becomes code of the program itself.
    func inlines(_ helper: UInt32) -> Bool { helper == Helper.ktimeGetNs.rawValue && clock != nil }
}

/// The machine code of a program, right for one address only.
package struct CompiledProgram: Sendable {
    package let code: [UInt8]
    /// Slot where a subprogram starts → offset of its first byte. Main is slot 0, offset 0.
    package let subprogramOffsets: [Int: Int]
    /// Slot → offset of its code, for a dump side by side. A slot whose work is done by the one before
    /// it has the offset of the one after it.
    package let slotOffsets: [Int]
    /// The program calls `bpf_tail_call`, so `ctx[-4]` must be zeroed before it runs.
    package let usesTailCalls: Bool
    /// The caller-saved registers that it may change.
    package let clobbers: RegisterSet
}

/// Why a program could not be compiled.
package enum JITError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The program is not well formed.
    case program(ProgramError)
    /// The target has no such helper.
    case unknownHelper(UInt32, slot: Int)
    /// A map, variable or external function that nobody has resolved.
    case unresolved(slot: Int)
    /// The code does not reach what it refers to.
    case code(MachineCodeError)

    package var description: String {
        switch self {
        case .program(let error): "\(error)"
        case .unknownHelper(let id, let slot):
            "instruction \(slot): the helper \(Helper(rawValue: id).map { "\($0.name) (\(id))" } ?? "\(id)") "
                + "is not available in the target"
        case .unresolved(let slot):
            "instruction \(slot): refers to a map or symbol that has not been resolved; load the program from an "
                + "object that defines it"
        case .code(let error): "compiling: \(error)"
        }
    }
}
