import MachineCode

extension ARM64 {
    package typealias CallingABI = AAPCS64
}

/// The calling convention of the Arm ABI for AArch64. Nothing is told of it yet: no argument is shown.
package enum AAPCS64: CallABI {
    package static func classify(_ prototype: FunctionPrototype) -> CallLayout {
        CallLayout(arguments: prototype.parameters.map { _ in nil }, returnValue: .unknown, stackWords: nil, stackAlignment: 16)
    }

    package static func convention(of prototype: FunctionPrototype) -> FunctionPrototype.Convention { prototype.convention }
}
