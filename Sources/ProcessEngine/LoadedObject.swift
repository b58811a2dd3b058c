import BPF
import MachineCode
import Trampoline

/// A program of an object, compiled and in the target.
package struct LoadedProgram: Sendable {
    package var id: Int
    package var name: String
    package var section: ProgramSection
    package var kind: TrampolineProgramKind
    var address: UInt64
    var usesCookie: Bool
    var usesTailCalls: Bool
    /// Registers that it changes.
    var clobbers: RegisterSet
    /// Bytes of the context that it may read; functions with fewer are refused.
    var contextBytes = 0
    package var codeSize: Int
}

/// An object in the target: its maps and programs.
package struct LoadedObject: Sendable {
    package var maps: [LoadedMap]
    package var programs: [LoadedProgram]
    package var object: Object
}
