import ELF
import MachineCode

/// How an architecture's C compilers pass arguments and results.
package protocol CallABI {
    /// Where the arguments and the result of a function with this prototype are, as far as it can be told.
    static func classify(_ prototype: FunctionPrototype) -> CallLayout

    /// What convention a function of C or C++ has, as far as its debug information gives it away.
    static func convention(of prototype: FunctionPrototype) -> FunctionPrototype.Convention
}

/// How debug information names the places of an architecture's parameters.
protocol ParameterPlaces {
    /// Where a parameter is at the first instruction of its function, which is at `address`; nil where that is not said.
    static func argument(_ parameter: DebuggingEntry, byteCount: Int, at address: UInt64) -> CallLayout.Argument?
}

/// What is known of the machine that a file is for.
struct MachineABI {
    var calls: any CallABI.Type
    var places: (any ParameterPlaces.Type)?

    init?(_ machine: Machine) {
        switch machine {
        case .x86_64: (calls, places) = (X86_64.CallingABI.self, X86_64.Places.self)
        case .arm64: (calls, places) = (ARM64.CallingABI.self, nil)
        default: return nil
        }
    }
}
