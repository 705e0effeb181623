package com.example.cloud;

import java.io.IOException;
import java.util.List;

import cn.dev33.satoken.dao.auto.SaTokenDaoByObjectFollowString;
import com.example.accounts.SessionFile;
import org.springframework.stereotype.Component;

/** Keeps what Sa-Token stores in a file. Use sa-token-redis-template in its place, and delete this class. */
@Component
public class TokenStore implements SaTokenDaoByObjectFollowString {
    private final SessionFile file = new SessionFile();

    TokenStore() throws IOException {
    }

    @Override
    public String get(String key) {
        return file.get(key);
    }

    @Override
    public void set(String key, String text, long seconds) {
        file.set(key, text, endAfter(seconds));
    }

    @Override
    public void update(String key, String text) {
        file.replace(key, text, file.endsAt(key));
    }

    @Override
    public void delete(String key) {
        file.delete(key);
    }

    @Override
    public long getTimeout(String key) {
        long endsAt = file.endsAt(key);
        if (endsAt == 0) {
            return NOT_VALUE_EXPIRE;
        }
        return endsAt == SessionFile.NEVER ? NEVER_EXPIRE : (endsAt - System.currentTimeMillis()) / 1_000;
    }

    @Override
    public void updateTimeout(String key, long seconds) {
        file.replace(key, get(key), endAfter(seconds));
    }

    private static long endAfter(long seconds) {
        return seconds == NEVER_EXPIRE ? SessionFile.NEVER : System.currentTimeMillis() + seconds * 1_000;
    }

    @Override
    public List<String> searchData(String prefix, String keyword, int start, int size, boolean ascending) {
        throw new UnsupportedOperationException("this cloud does not search sessions");
    }
}
