// Exceptions through many frames, from threads, nested and rethrown; built with clang++ and libc++.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct Guard {
    int &count;
    ~Guard() { count++; }
};

__attribute__((noinline)) int descend(int n, int &unwound) {
    Guard guard{unwound};
    if (n == 0) throw std::runtime_error("bottom " + std::to_string(unwound));
    return descend(n - 1, unwound) + 1;
}

__attribute__((noinline)) std::string rethrown(int n) {
    int unwound = 0;
    try {
        try {
            descend(n, unwound);
        } catch (const std::exception &) {
            std::throw_with_nested(std::logic_error("around"));
        }
    } catch (const std::logic_error &error) {
        std::string text = error.what();
        try {
            std::rethrow_if_nested(error);
        } catch (const std::runtime_error &inner) {
            text += ": " + std::string(inner.what());
        }
        return text + ", " + std::to_string(unwound) + " unwound";
    }
    return "nothing";
}

int main() {
    std::vector<std::string> results(4);
    std::vector<std::thread> threads;
    for (int index = 0; index < 4; index++)
        threads.emplace_back([index, &results] {
            for (int round = 0; round < 200; round++) results[index] = rethrown(index * 10 + round % 7);
        });
    for (auto &thread : threads) thread.join();
    for (auto &result : results) std::puts(result.c_str());
    std::puts(rethrown(3).c_str());
}
