package io.sdktokenbroker

import org.json.JSONException
import org.json.JSONObject

/** The five strings that the vendor's SDK needs. Pass them on unchanged. `expireTime` is in epoch seconds. */
data class SdkToken(
    val accessId: String, val accessToken: String, val expireTime: String, val terminalId: String, val expend: String,
) {
    /** Contains no token and no account, so that it may appear in a log. */
    override fun toString() = "SdkToken(expireTime=$expireTime)"

    internal fun isExpired() = (expireTime.toLongOrNull() ?: 0) * 1_000 <= System.currentTimeMillis()

    internal fun toJson(): JSONObject = JSONObject().put("accessId", accessId).put("accessToken", accessToken)
        .put("expireTime", expireTime).put("terminalId", terminalId).put("expend", expend)

    internal companion object {
        /** Ignores further fields. @return `null` if one of the five is missing */
        fun of(json: JSONObject): SdkToken? {
            val (accessId, accessToken, expireTime, terminalId, expend) =
                listOf("accessId", "accessToken", "expireTime", "terminalId", "expend").mapNotNull(json::text)
                    .takeIf { it.size == 5 } ?: return null
            return SdkToken(accessId, accessToken, expireTime, terminalId, expend)
        }
    }
}

/**
 * What the storage holds.
 * @property refused the SDK was refused with it, and the broker has not answered this report yet
 * @property handedIn your own login response contained it, and the SDK has not got it yet
 */
internal data class StoredToken(
    val userId: String,
    val token: SdkToken,
    val etag: String?,
    val refused: Boolean = false,
    val handedIn: Boolean = false,
) {
    /** What is between the quotation marks of the [etag]; `null` if the broker does not give such an etag. */
    val tag: String? get() = etag?.let(ETAG::matchEntire)?.groupValues?.last()

    fun toText(): String = JSONObject().put("userId", userId).put("token", token.toJson()).put("etag", etag)
        .put("refused", refused).put("handedIn", handedIn).toString()

    companion object {
        private val ETAG = Regex("(?:W/)?\"([A-Za-z0-9_-]{1,64})\"")

        fun of(text: String?): StoredToken? {
            val json = text?.let(::jsonObject) ?: return null
            val userId = json.text("userId") ?: return null
            val token = json.optJSONObject("token")?.let(SdkToken::of) ?: return null
            return StoredToken(userId, token, json.text("etag"), json.optBoolean("refused"), json.optBoolean("handedIn"))
        }
    }
}

/** @return `null` if the text is not a JSON object: the exception of the parser would contain parts of the text */
internal fun jsonObject(text: String): JSONObject? = try { JSONObject(text) } catch (_: JSONException) { null }

/** @return `null` if the field is missing, empty or not a string */
internal fun JSONObject.text(name: String): String? = (opt(name) as? String)?.takeIf { it.isNotEmpty() }
