import Testing
@testable import Verifier
