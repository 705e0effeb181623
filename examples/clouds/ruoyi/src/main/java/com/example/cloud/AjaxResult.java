package com.example.cloud;

import java.util.LinkedHashMap;

/** RuoYi's envelope: code and msg, and the content beside them. */
public class AjaxResult extends LinkedHashMap<String, Object> {
    AjaxResult(int code, String msg) {
        put("msg", msg);
        put("code", code);
    }

    static AjaxResult success() {
        return new AjaxResult(200, "操作成功");
    }

    AjaxResult with(String name, Object content) {
        put(name, content);
        return this;
    }
}
