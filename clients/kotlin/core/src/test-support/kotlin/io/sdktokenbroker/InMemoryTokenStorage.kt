package io.sdktokenbroker

import java.util.concurrent.ConcurrentHashMap

/** Forgets everything when the process ends. */
class InMemoryTokenStorage : TokenStorage {
    private val values = ConcurrentHashMap<String, String>()
    override fun get(key: String) = values[key]
    override fun put(key: String, value: String) = values.set(key, value)
    override fun remove(key: String) { values.remove(key) }
}
