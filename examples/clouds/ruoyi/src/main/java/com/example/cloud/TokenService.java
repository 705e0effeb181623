package com.example.cloud;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.Map;
import java.util.UUID;

import com.example.accounts.PrivateFile;
import com.example.accounts.Refused;
import com.example.accounts.SessionFile;
import io.jsonwebtoken.JwtException;
import io.jsonwebtoken.Jwts;
import io.jsonwebtoken.SignatureAlgorithm;
import org.springframework.stereotype.Service;

/** Sessions. The token is a JWT without iss, aud and exp. It only holds a key, under which Redis has the user. */
@Service
public class TokenService {
    /** @param key of the session in Redis */
    record LoginUser(String key, String userId, long loginTime, long expireTime) {
        String text() {
            return userId + " " + loginTime;
        }
    }

    private static final String LOGIN_USER_KEY = "login_user_key";
    private static final long LIFETIME_MS = 30 * 60_000L;
    private static final long RENEW_MS = 20 * 60_000L;

    private final SessionFile redis;
    private final String secret;

    TokenService(SessionFile redis) throws IOException {
        this.redis = redis;
        Path file = PrivateFile.inDataDir("token-secret.txt");
        if (!Files.exists(file)) {
            byte[] created = new byte[64];
            new SecureRandom().nextBytes(created);
            PrivateFile.write(file, Base64.getEncoder().encodeToString(created));
        }
        secret = PrivateFile.read(file);
    }

    String createToken(String userId) {
        long now = System.currentTimeMillis();
        String key = UUID.randomUUID().toString();
        LoginUser user = new LoginUser(key, userId, now, now + LIFETIME_MS);
        redis.set(key, user.text(), user.expireTime());
        return Jwts.builder().setClaims(Map.of(LOGIN_USER_KEY, key)).signWith(SignatureAlgorithm.HS512, secret).compact();
    }

    /** The session of the header Authorization. @throws Refused 401 */
    LoginUser loginUser(String authorization) {
        String key = keyOf(authorization.replace("Bearer ", ""));
        String stored = redis.get(key);
        if (stored == null) {
            throw new Refused(401, "认证失败，无法访问系统资源");
        }
        String[] fields = stored.split(" ");
        return renewed(new LoginUser(key, fields[0], Long.parseLong(fields[1]), redis.endsAt(key)));
    }

    private String keyOf(String token) {
        try {
            return Jwts.parser().setSigningKey(secret).parseClaimsJws(token).getBody().get(LOGIN_USER_KEY, String.class);
        } catch (JwtException | IllegalArgumentException invalid) {
            return "";
        }
    }

    void delete(LoginUser user) {
        redis.delete(user.key());
    }

    /** RuoYi also sets loginTime here. Leave it as it is: the broker takes a later time as a new login. */
    private LoginUser renewed(LoginUser user) {
        long now = System.currentTimeMillis();
        if (user.expireTime() - now > RENEW_MS) {
            return user;
        }
        LoginUser renewed = new LoginUser(user.key(), user.userId(), user.loginTime(), now + LIFETIME_MS);
        redis.replace(renewed.key(), renewed.text(), renewed.expireTime());
        return renewed;
    }
}
