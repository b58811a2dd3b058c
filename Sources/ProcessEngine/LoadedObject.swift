import BPF
import MachineCode
import Trampoline
import Verifier

/// A program of an object, compiled and in the target.
package struct LoadedProgram: Sendable {
    package var id: Int
    package var name: String
    package var section: ProgramSection
    package var kind: TrampolineProgramKind
    var address: UInt64
    /// What it and all that it may tail-call need of the context; functions with fewer words are refused.
    var needs: ContextNeeds
    var usesTailCalls: Bool
    /// Registers that it changes.
    var clobbers: RegisterSet
    package var codeSize: Int
}

/// An object in the target: its maps and programs.
package struct LoadedObject: Sendable {
    package var maps: [LoadedMap]
    package var programs: [LoadedProgram]
    package var object: Object
    var sources: [any EventSource]
}
