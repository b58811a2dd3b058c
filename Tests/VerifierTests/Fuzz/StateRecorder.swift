import JIT
import Synchronization
import Verifier

/// What the verifier holds true in every state, by instruction.
final class StateRecorder: VerifierObserver {
    struct State {
        var frame: Int
        var numbers: [(register: Int, value: Scalar)] = []
        /// Pointers into frames, by their distance from the frame's end.
        var pointers: [(register: Int, frame: Int, distance: Scalar)] = []
        var slots: [(frame: Int, index: Int, slot: StackSlot)] = []

        /// Whether registers and stack may be what they are.
        func admits(_ step: InterpreterStep) -> Bool {
            numbers.allSatisfy { $0.value.contains(step.registers[$0.register]) }
                && pointers.allSatisfy { $0.distance.contains(step.registers[$0.register] &- step.top(ofFrame: $0.frame)) }
                && slots.allSatisfy { $0.slot.admits(step.stackWord($0.index, ofFrame: $0.frame)) }
        }
    }

    let states: Mutex<[[State]]>

    init(slots: Int) { states = Mutex(Array(repeating: [], count: slots)) }

    func visit(_ visit: VerifierVisit) {
        var state = State(frame: visit.frame)
        for index in 0..<10 where visit.live & 1 << UInt16(index) != 0 {
            let register = visit.registers[index]
            switch register.kind {
            case .scalar: state.numbers.append((index, register.value))
            case .frame: state.pointers.append((index, Int(register.frame), register.value))
            default: break
            }
        }
        for (frame, slots) in visit.stacks.enumerated() {
            for (index, slot) in slots { state.slots.append((frame, index, slot)) }
        }
        states.withLock { $0[visit.slot].append(state) }
    }
}
