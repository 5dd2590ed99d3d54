//! noonmarkd
