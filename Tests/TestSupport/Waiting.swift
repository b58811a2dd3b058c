import Foundation

/// Waits until something holds.
package func waitUntil(_ what: String, seconds: Double = 30, _ condition: () throws -> Bool) async throws {
    let end = Date().addingTimeInterval(seconds)
    while try !condition() {
        if Date() > end { throw Trouble("waited in vain until \(what)") }
        try await Task.sleep(nanoseconds: 10_000_000)
    }
}

/// Waits until something holds, and blocks the test's thread meanwhile; false if it does not come to hold.
package func eventually(seconds: Double = 30, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while Date() < end {
        if try condition() { return true }
        usleep(10_000)
    }
    return try condition()
}
