/// What is known of a register.
package struct RegisterState: Hashable, Sendable {
}
